"""The examples in the docstrings of what `import gradcheck` offers run, and say what is printed."""

import doctest
import inspect

import pytest

import gradcheck

PUBLIC = {name: getattr(gradcheck, name) for name in gradcheck.__all__}
# Functions and what they are given; results, forms and constants are shown by their examples.
WITH_EXAMPLES = [name for name, value in PUBLIC.items() if inspect.isfunction(value)] + ["Layers"]


@pytest.mark.parametrize("name", WITH_EXAMPLES)
def test_the_example_runs(name):
    value = PUBLIC[name]
    (found,) = doctest.DocTestFinder(recurse=False).find(value, name, globs=dict(PUBLIC))
    assert found.examples, f"{name} has no example"
    assert doctest.DocTestRunner().run(found).failed == 0


def test_every_public_name_is_documented():
    undocumented = [name for name, value in PUBLIC.items() if callable(value) and not inspect.getdoc(value)]
    assert not undocumented
