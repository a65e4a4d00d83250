"""Every example in the library's docstrings runs, and every public name has one."""

import doctest
import importlib
import pkgutil

import pytest

import keras_hypercolumns


def documented():
    """The docstrings with examples, of the package and of all its modules."""
    names = [keras_hypercolumns.__name__]
    names += [
        module.name
        for module in pkgutil.walk_packages(
            keras_hypercolumns.__path__, f"{keras_hypercolumns.__name__}."
        )
    ]
    finder = doctest.DocTestFinder(exclude_empty=True)
    found = []
    for name in names:
        found += [test for test in finder.find(importlib.import_module(name)) if test.examples]
    return found


DOCUMENTED = documented()


@pytest.mark.parametrize("example", DOCUMENTED, ids=lambda example: example.name)
def test_example_gives_what_it_says(example):
    report = []
    results = doctest.DocTestRunner().run(example, out=report.append)
    assert results.failed == 0, "".join(report)


def test_every_public_callable_has_an_example():
    have = {example.name.rsplit(".", 1)[-1] for example in DOCUMENTED}
    public = {
        name for name in keras_hypercolumns.__all__ if callable(getattr(keras_hypercolumns, name))
    }
    assert public
    assert public <= have
