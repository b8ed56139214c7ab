import json
import warnings

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from w4s_gym.jsonl import mend_end, whole_lines

RECORDS = [{"n": n, "text": "é\u2028\r" * n} for n in range(6)]
WHOLE = "".join(json.dumps(record, ensure_ascii=False) + "\n" for record in RECORDS).encode()


@settings(max_examples=60)
@given(cut=st.integers(0, len(WHOLE)), unbroken=st.booleans())
def test_a_kill_at_any_byte_loses_at_most_the_last_line_and_says_so(tmp_path_factory, cut, unbroken):
    path = tmp_path_factory.mktemp("lines") / "rows.jsonl"
    path.write_bytes(WHOLE[:cut])
    broken = WHOLE[:cut].count(b"\n")
    whole = broken + (unbroken and WHOLE[cut : cut + 1] == b"\n")
    torn = WHOLE[:cut].rpartition(b"\n")[2] != b"" and whole == broken
    for read in (True, False):
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            if read:
                found = [json.loads(line) for _, line in whole_lines(path, unbroken=unbroken)]
                assert found == RECORDS[:whole]
            else:
                mend_end(path, unbroken=unbroken)
        assert [str(path) in str(w.message) for w in said] == [True] * torn
    with path.open("ab") as file:
        file.write(b'{"n": -1}\n')
    assert [json.loads(line)["n"] for _, line in whole_lines(path)] == [*range(whole), -1]


@pytest.mark.parametrize("torn", [b"\xff\xfe", b"\0" * 5000, b'{"a": "' + b"x" * 200_000, b'"text"'])
def test_whatever_stands_behind_the_last_line_break_is_cut_off(tmp_path, torn):
    path = tmp_path / "rows.jsonl"
    path.write_bytes(b'{"n": 1}\n' + torn)
    with pytest.warns(UserWarning, match="stopped before"):
        mend_end(path, unbroken=True)
    assert path.read_bytes() == b'{"n": 1}\n'


def test_a_missing_file_needs_nothing(tmp_path):
    mend_end(tmp_path / "none")
    assert not (tmp_path / "none").exists()
