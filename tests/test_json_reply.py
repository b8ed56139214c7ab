"""JSON as models write it."""

import json
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from w4s_gym.json_reply import MAX_REPLY_CHARS, parse_json_object

READ = [
    ('{"a": 1}', {"a": 1}),
    ('```json\n{"a": 1}\n```', {"a": 1}),
    ('~~~\r\n{"a": 1}\r\n~~~', {"a": 1}),
    ('Sure:\n{"a": 1}\nDone.', {"a": 1}),
    ('Let {x} be it.\n```json\n{"a": "7"}\n```\nwhere {y} is.', {"a": "7"}),
    ('Let {x} and {y}.\n{"a": "7"} and {z}', {"a": "7"}),
    ('```json\n{"a": 1}', {"a": 1}),
    ('<think>a {x}</think>{"a":"7"}', {"a": "7"}),
    ('so {"a": 1}?</think>\n\n{"a": 2}', {"a": 2}),
    ('[THINK]{"a": 1}[/THINK]{"a": 2}', {"a": 2}),
    ('{"a": [1, 2,], }', {"a": [1, 2]}),
    ('{"a": 1,, "b": 2}', {"a": 1, "b": 2}),
    ("{'a': 'it\\'s', 'b': True, 'c': None}", {"a": "it's", "b": True, "c": None}),
    ("{'a': 'say \"hi\"'}", {"a": 'say "hi"'}),
    ('{"a": "he said "hi" to me", "b": 2}', {"a": 'he said "hi" to me', "b": 2}),
    ('{"a": "line\nbreak\ttab"}', {"a": "line\nbreak\ttab"}),
    ('{"a": """x\n"y" z"""}', {"a": 'x\n"y" z'}),
    ('{a: 1, b-c: yes}', {"a": 1, "b-c": "yes"}),
    ('{"a": 1 // one\n, /* two */ "b": 2}', {"a": 1, "b": 2}),
    ('{"a": NaN, "b": -Infinity, "c": 1e999, "d": -1e999}',
     {"a": "NaN", "b": "-Infinity", "c": "1e999", "d": "-1e999"}),
    ('{"a": ' + "1" * 5000 + "}", {"a": "1" * 5000}),
    ('{"a": 007}', {"a": "007"}),
    (r'{"a": "\frac{1}{2}"}', {"a": r"\frac{1}{2}"}),
    (r'{"a": "\boxed{\sqrt{2}}"}', {"a": r"\boxed{\sqrt{2}}"}),
    (r'{"a": "$x \ne 3$ and \nu, \theta \times \text{cm} \rightarrow \beta"}',
     {"a": r"$x \ne 3$ and \nu, \theta \times \text{cm} \rightarrow \beta"}),
    (r'{"a": "\(x\) \[y\] \{z\} \% 5"}', {"a": r"\(x\) \[y\] \{z\} \% 5"}),
    (r'{"a": "\\frac{1}{2}\nnext\tcell"}', {"a": "\\frac{1}{2}\nnext\tcell"}),
    (r'{"a": "\underline{x} \u00e9"}', {"a": "\\underline{x} é"}),
    (r'{"a": "first\nne is a word\nto you"}', {"a": "first\nne is a word\nto you"}),
    (r'{"a": "def f():\n\treturn x\nne = 1\n\tto = re.findall(\"\d\")"}',
     {"a": 'def f():\n\treturn x\nne = 1\n\tto = re.findall("\\d")'}),
]  # fmt: skip


@pytest.mark.parametrize(("text", "value"), READ)
def test_what_models_write_is_read(text, value):
    assert parse_json_object(text) == value


@pytest.mark.parametrize(
    "text",
    ["", "[1]", "{", "}{", "no", '{"a": "18', '{"a": "18"', '"a": "18", "b": "{1: 2}"', '{"a": NaN', "{x}",
     "[" * 200_000, "{" * 200_000, "1" * 5_000, '{"a":' * 5_000 + "}" * 5_000],
)  # fmt: skip
def test_what_is_no_whole_object_is_none(text):
    assert parse_json_object(text) is None


def test_of_several_objects_the_last_one_with_the_keys_counts():
    text = 'Like {"answer": "x"}. First {"answer": "1", "why": "a"}, no: {"answer": "2", "why": "b"}. Done {"n": 3}.'
    assert parse_json_object(text, ["answer", "why"]) == {"answer": "2", "why": "b"}


# JSON writes backspace and form feed as \b and \f; in front of letters they are taken for LaTeX commands.
TEXTS = st.text(st.characters(exclude_characters="\b\f", exclude_categories=["Cs"]))


@given(st.dictionaries(TEXTS, TEXTS | st.integers() | st.booleans() | st.none() | st.floats(allow_nan=False,
       allow_infinity=False)))  # fmt: skip
def test_any_json_object_is_read_back(value):
    assert parse_json_object(json.dumps(value, ensure_ascii=False)) == value


PIECES = st.sampled_from(
    ["{", "}", "[", "]", '"', "'", '"""', ":", ",", "\\", "a", "1", "1e999", "NaN", " ", "\n", "//", "/*", "*/", "#",
     "```json\n", "```", "<think>", "</think>", "\\frac", "\ud800", "\x00", "é", "None", "-"]
)  # fmt: skip


@settings(max_examples=300, deadline=None)
@given(st.lists(PIECES, max_size=60).map("".join))
def test_no_text_raises_and_every_value_can_be_sent(text):
    value = parse_json_object(text)
    assert value is None or json.dumps(value, allow_nan=False)


UNITS = ["```json\n", "\n", "{", "[", '{"', '{"a": "', '"', "\\", '{"a":"b",', "{'", "{//", "{/*", "}{", "<think>",
         '": ', '", ', "{}", '{"a":{', " ", "answer", "a b ", "'''", "\\n", "1e9", "</think>"]  # fmt: skip


@pytest.mark.parametrize("start", ["", '{"a": "', "```json\n{"])
@pytest.mark.parametrize("unit", UNITS)
def test_work_grows_with_the_length_of_a_reply(start, unit, growth):
    assert growth(parse_json_object, unit, start, '"}', length=MAX_REPLY_CHARS // 8) < 9


@pytest.mark.parametrize("unit", UNITS)
def test_a_megabyte_is_no_problem(unit):
    value = parse_json_object(unit * (1_000_000 // len(unit)))
    assert value is None or math.isfinite(len(value))
