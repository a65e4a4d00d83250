"""The documentation site: `sphinx-build -W docs build/site`."""

import logging
import sys
from importlib import metadata
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "extensions"))
# Ray, imported for its docstrings, lets all of them talk.
for library in ("pyvips", "jax"):
    logging.getLogger(library).setLevel(logging.WARNING)

project = "keras_hypercolumns"
release = metadata.version("keras-hypercolumns")
extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "cli_reference",
    "draw_figures",
    "docstrings",
    "mathml",
]
# A missing reference is a warning, unless it is to another project, whose index is not fetched.
nitpicky = True
nitpick_ignore_regex = [
    ("py:.*", r"(?!keras_hypercolumns|kh_).*"),
    ("py:class", r"keras_hypercolumns\.training\.recipe\.Recipe"),  # key by key in train.md
]
exclude_patterns = ["extensions", "figures"]

myst_enable_extensions = ["dollarmath"]
myst_heading_anchors = 3

autodoc_inherit_docstrings = False
autodoc_typehints = "description"
autodoc_typehints_description_target = "documented"
napoleon_custom_sections = ["Input shape", "Output shape", "Reference"]
python_use_unqualified_type_names = True

html_theme = "furo"
html_title = f"Hypercolumns for Keras {release}"
html_copy_source = False
html_show_copyright = False
html_show_sphinx = False

man_pages = [
    ("generated/cli", "kh", "colour grey photographs, and train models that do", [], 1),
]
