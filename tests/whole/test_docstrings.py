"""Every example in a docstring runs, and every public name has one."""

import doctest
import importlib
import pkgutil
import re
import shutil
from importlib.util import find_spec
from pathlib import Path

import pytest

import keras_hypercolumns
import kh_zoo

PACKAGES = (keras_hypercolumns, kh_zoo)
ROOT = Path(__file__).parents[2]
UNUSABLE = () if find_spec("ray") else ("kh_zoo.runners.ray_driver",)
"""Modules of a package that is not installed."""


def docstrings():
    """The docstrings of the packages and of all their modules, as doctests."""
    names = []
    for package in PACKAGES:
        names.append(package.__name__)
        modules = pkgutil.walk_packages(package.__path__, f"{package.__name__}.")
        names += [module.name for module in modules if module.name not in UNUSABLE]
    finder = doctest.DocTestFinder()
    return [test for name in names for test in finder.find(importlib.import_module(name))]


DOCSTRINGS = docstrings()
DOCUMENTED = [docstring for docstring in DOCSTRINGS if docstring.examples]


@pytest.mark.parametrize("example", DOCUMENTED, ids=lambda example: example.name)
def test_example_gives_what_it_says(example, tmp_path, monkeypatch, request):
    if example.name.startswith("kh_zoo.publishing.publish"):
        monkeypatch.setenv("HF_TOKEN", request.getfixturevalue("hub").token_of("ada"))
    shutil.copytree(ROOT / "examples", tmp_path / "examples")
    monkeypatch.chdir(tmp_path)
    report = []
    results = doctest.DocTestRunner().run(example, out=report.append)
    assert results.failed == 0, "".join(report)


@pytest.mark.parametrize("package", PACKAGES, ids=lambda package: package.__name__)
def test_every_public_callable_has_an_example(package):
    public = [getattr(package, name) for name in package.__all__]
    names = {f"{obj.__module__}.{obj.__qualname__}" for obj in public if callable(obj)}
    assert names
    assert names <= {example.name for example in DOCUMENTED}


def test_no_example_is_left_to_reading():
    """A fenced block would not be run."""
    assert [docstring.name for docstring in DOCSTRINGS if "```" in docstring.docstring] == []


@pytest.mark.parametrize("package", PACKAGES, ids=lambda package: package.__name__)
def test_docstrings_of_public_names_are_whole(package):
    """What an argument means is said where it is, not elsewhere."""
    public = [getattr(package, name) for name in package.__all__]
    referring = {
        obj.__name__: found
        for obj in public
        if callable(obj) and (found := re.findall(r"(?i)\bas for `.*", obj.__doc__ or ""))
    }
    assert referring == {}


SHARED = ("interpolation", "coordinates", "strides", "centers", "data_format")
LAYERS = ("HyperColumn", "HyperColumnProjection", "HyperColumnSampler")


@pytest.mark.parametrize("argument", SHARED)
def test_layers_say_the_same_of_the_arguments_that_they_share(argument):
    paragraphs = {
        re.search(
            rf"^ +{argument}: .*?(?=^ +\w+: |^$)",
            getattr(keras_hypercolumns, layer).__doc__,
            re.MULTILINE | re.DOTALL,
        )[0]
        for layer in LAYERS
    }
    assert len(paragraphs) == 1
