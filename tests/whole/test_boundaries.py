"""Three packages, one direction: cli -> zoo -> keras_hypercolumns, never back."""

import ast
import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

FRAMEWORKS = {"tensorflow", "jax", "torch"}
FORBIDDEN = {
    "keras_hypercolumns": {"kh_zoo", "kh_cli"} | FRAMEWORKS,
    "kh_zoo": {"kh_cli"} | FRAMEWORKS,
    "kh_cli": FRAMEWORKS,
}


def modules(package):
    folder = Path(importlib.util.find_spec(package).submodule_search_locations[0])
    return sorted(folder.rglob("*.py"))


def imported(path):
    """Top-level names of the packages that a module imports, wherever in it."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} imports relatively"
            names.add(node.module.split(".")[0])
    return names


@pytest.mark.parametrize("package", list(FORBIDDEN))
def test_no_module_imports_what_stands_above_it_or_a_framework(package):
    files = modules(package)
    assert files
    found = {path.name: sorted(imported(path) & FORBIDDEN[package]) for path in files}
    assert {name: names for name, names in found.items() if names} == {}


def test_the_layers_are_used_through_one_another():
    """What is found above is not empty because nothing is found at all."""
    below = set().union(*(imported(path) for path in modules("keras_hypercolumns")))
    assert {"keras", "numpy", "keras_hypercolumns"} <= below


def test_importing_the_zoo_imports_no_keras():
    program = "import sys, kh_zoo; sys.exit('keras' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


@pytest.mark.parametrize("backend", sorted(FRAMEWORKS))
def test_a_backend_that_is_not_installed_is_named_with_its_extra(backend):
    program = f"""if True:
        import sys

        class Absent:
            def find_spec(self, name, path=None, target=None):
                if name == {backend!r}:
                    raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

        sys.meta_path.insert(0, Absent())
        import keras_hypercolumns
    """
    result = subprocess.run(
        [sys.executable, "-c", program],
        env={"KERAS_BACKEND": backend, "PATH": ""},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 1
    message = result.stderr.strip().splitlines()[-1]
    assert message.startswith("ImportError: ")
    assert f"pip install 'keras-hypercolumns[{backend}]'" in message
