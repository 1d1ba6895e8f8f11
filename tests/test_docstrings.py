"""The examples in the docstrings of what `import gradcheck` offers run, and say what is printed."""

import doctest

import pytest

import gradcheck

PUBLIC = {name: getattr(gradcheck, name) for name in gradcheck.__all__}
WITH_EXAMPLES = [name for name, value in PUBLIC.items() if callable(value)]


@pytest.mark.parametrize("name", WITH_EXAMPLES)
def test_the_example_runs(name):
    value = PUBLIC[name]
    (found,) = doctest.DocTestFinder(recurse=False).find(value, name, globs=dict(PUBLIC))
    assert found.examples, f"{name} has no example"
    assert doctest.DocTestRunner().run(found).failed == 0
