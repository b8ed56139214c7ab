"""The normal form: programs that differ in how they are written down only."""

import ast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from w4s_gym.normal_form import normal_form

WORKFLOW = '''
def solver(agent, task):
    """Ask once."""
    reply = agent.call_llm(messages=[{"role": "user", "content": task}])[0]
    return {"answer": reply.strip()}
'''


@pytest.mark.parametrize(
    "same",
    [
        WORKFLOW.replace('"', "'").replace("'''Ask once.'''", '"""Another docstring."""'),
        WORKFLOW.replace('    """Ask once."""\n', ""),
        WORKFLOW.replace("\n    reply", "\n\n    # ask the executor\n    reply"),
        WORKFLOW.replace("(agent, task)", "(\n    agent,\n    task,\n)"),
    ],
)
def test_layout_comments_docstrings_and_quotes_do_not_count(same):
    assert same != WORKFLOW
    assert normal_form(same) == normal_form(WORKFLOW)


@pytest.mark.parametrize(
    ("old", "new"),
    [("[0]", "[-1]"), ("task}", 'task + "?"}'), (".strip()", ""), ("reply", "text"), ('"role"', '"Role"')],
)
def test_every_other_change_counts(old, new):
    assert normal_form(WORKFLOW.replace(old, new)) != normal_form(WORKFLOW)


@pytest.mark.parametrize("source", ["def solver(:", "", "\0", "(" * 5_000, "-" * 19_000 + "1", "x = 1\n" * 30_000])
def test_what_cannot_be_parsed_is_compared_as_it_is(source):
    assert isinstance(normal_form(source), str)
    assert normal_form(source) == normal_form(source + "\n")


def test_a_function_of_nothing_but_a_docstring_is_still_a_program():
    assert normal_form('def f():\n    "text"') == normal_form("def f():\n    pass")


@given(st.text(max_size=200))
def test_any_text_has_a_normal_form(text):
    normal_form(text)


@given(st.integers(0, 10**6), st.text(st.characters(categories=["Ll"]), min_size=1, max_size=8))
def test_a_printed_syntax_tree_has_the_form_of_its_source(number, name):
    source = f"def solver(agent, task):\n    {name}_ = {number}  # set\n    return {name}_"
    assert normal_form(ast.unparse(ast.parse(source))) == normal_form(source)
