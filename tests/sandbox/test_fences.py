"""Fenced code, as CommonMark 0.31 (section 4.5) reads it."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from w4s_gym.sandbox.inside.fences import blocks, fenced, plain_lines, program, readings


def sources(text):
    return [block.source for block in blocks(plain_lines(text))]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("```\n<\n >\n```", ["<\n >\n"]),
        ("~~~\n<\n >\n~~~", ["<\n >\n"]),
        ("``\nfoo\n``", []),
        ("```\naaa\n~~~\n```", ["aaa\n~~~\n"]),
        ("~~~\naaa\n```\n~~~", ["aaa\n```\n"]),
        ("````\naaa\n```\n``````", ["aaa\n```\n"]),
        ("```", [""]),
        ("`````\n\n```\naaa", ["\n```\naaa"]),
        ("```\n\n  \n```", ["\n  \n"]),
        (" ```\n aaa\naaa\n```", ["aaa\naaa\n"]),
        ("   ```\n   aaa\n    aaa\n  aaa\n   ```", ["aaa\n aaa\naaa\n"]),
        ("```\naaa\n``` aaa\n```", ["aaa\n``` aaa\n"]),
        ("``` ```\naaa", []),
        ("``` aa ```\naaa", []),
        ("~~~ aa ``` ~~~\naaa\n~~~", ["aaa\n"]),
        ("foo\n```\nbar\n```\nbaz", ["bar\n"]),
        ("~~~~    ruby startline=3 $%@#$\ndef foo(x)\nend\n~~~~~~~", ["def foo(x)\nend\n"]),
        ("```\r\na\r\n```\r\n", ["a\n"]),
        ("- item\n  ```\n  a\n  ```", ["a\n"]),
    ],
)
def test_examples_of_the_specification(text, expected):
    assert sources(text) == expected


@given(st.lists(st.sampled_from(["```", "~~~", "````", "\n", "a", " ", "python", '"""', "def f(): 1"]), max_size=30))
def test_a_fenced_text_is_read_back(parts):
    source = "".join(parts).strip()
    (block,) = blocks(fenced(source))
    assert block.source.strip() == source and block.language == "python" and block.closed


@settings(deadline=None)
@given(st.text(alphabet="`~\n\r abpython\t\"'", max_size=200))
def test_any_text_is_read(text):
    plain = plain_lines(text)
    for block in [*blocks(plain), *readings(plain)]:
        assert 0 <= block.start <= block.end <= len(plain)
    program(text, lambda source: True, lambda source: len(source) % 2 == 0)


@pytest.mark.parametrize("unit", ["```\n", "```python\n", "~~~\n```\n", "`", " ", "\n", "```python\ndef f():\n", "\r"])
def test_work_grows_with_the_length(unit, growth):
    assert growth(lambda text: program(text, lambda source: True, lambda source: False), unit) < 9
