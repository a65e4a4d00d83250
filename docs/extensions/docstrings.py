"""What autodoc is told: docstrings hold Markdown, and classes are called as their `__init__`."""

import importlib
import inspect
import re

PACKAGES = ("keras_hypercolumns", "kh_zoo")


def setup(app):
    app.connect("autodoc-process-docstring", convert_docstring, priority=400)  # before napoleon
    app.connect("autodoc-process-signature", signature_of_init)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def convert_docstring(app, what, name, obj, options, lines):
    lines[:] = convert("\n".join(lines)).split("\n")


def convert(text):
    """Convert Markdown's links and code to reStructuredText; a public name becomes a link."""
    text = re.sub(r"^(Examples?):$", r".. rubric:: \1", text, flags=re.M)
    return re.sub(r"\[([^]]+)\]\((https?://[^)]+)\)|`([^`]+)`", _link_or_code, text)


def _link_or_code(match):
    text, address, code = match.groups()
    if address:
        return f"`{text} <{address}>`__"
    for package in PACKAGES:
        if code in importlib.import_module(package).__all__:
            return f":py:obj:`~{package}.{code}`"
    return f"``{code}``"


def signature_of_init(app, what, name, obj, options, signature, returns):
    # That of Keras's `__new__`, which autodoc would take, is (*args, **kwargs).
    if what == "class":
        _, *parameters = inspect.signature(obj.__init__).parameters.values()
        plain = [parameter.replace(annotation=parameter.empty) for parameter in parameters]
        return str(inspect.Signature(plain)), None
    return None
