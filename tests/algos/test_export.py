from dataclasses import replace

import pytest

from w4s_gym.algos.export import from_dataset, from_minari, to_dataset, to_minari
from w4s_gym.algos.trajectory import Row, read_rows, write_rows

CHAT = (
    {"role": "system", "content": 'Lines\nand "quotes" and é√漢 and \t tabs'},
    {"role": "user", "content": ""},
    {"role": "assistant", "content": "```python\nx = 1\n```"},
    {"role": "user", "content": "again"},
)
WRITTEN = "Idea: 'x' \\ \u2028 é\n"
FIRST = Row(CHAT, WRITTEN, 0.5, 0.25, "design", "evaluated", True, "MGSM", "rlao/1", 3, 1, 4, True, "gain")
ROWS = [
    FIRST,
    replace(FIRST, reward=None, accuracy=None, status="infrastructure", chosen=False),
    replace(FIRST, new_best=True, reward=0.125),
    replace(FIRST, messages=CHAT[:2], action="", kind="repair", reward=-0.1, truncated=True, simulated=False),
]


def test_jsonl_round_trip(tmp_path):
    write_rows(tmp_path / "rows.jsonl", ROWS[:1])
    write_rows(tmp_path / "rows.jsonl", ROWS[1:])
    assert list(read_rows(tmp_path / "rows.jsonl")) == ROWS


def test_rows_written_before_there_was_a_field_for_new_bests_say_it_by_their_reward(tmp_path):
    file = tmp_path / "rows.jsonl"
    earned = [("tiers", 1.0), ("tiers", 0.5), ("gain", 0.1), ("gain", -0.1), ("relative", None)]
    write_rows(file, [replace(FIRST, reward_kind=kind, reward=reward) for kind, reward in earned])
    file.write_text(file.read_text().replace(', "new_best": false', ""))
    assert "new_best" not in file.read_text()
    assert [row.new_best for row in read_rows(file)] == [True, False, True, False, False]


def test_a_row_without_the_kind_of_its_reward_is_refused_with_the_reason(tmp_path):
    """What 0.5 means depends on the kind: such rows, of the first version, cannot be read."""
    file = tmp_path / "rows.jsonl"
    write_rows(file, ROWS[:1])
    file.write_text(file.read_text().replace(', "reward_kind": "gain"', ""))
    with pytest.raises(ValueError, match=r"line 1.*missing: reward_kind; unknown: none"):
        list(read_rows(file))


def test_hugging_face_round_trip(tmp_path):
    from datasets import load_from_disk

    to_dataset(ROWS).save_to_disk(tmp_path / "rows")
    assert from_dataset(load_from_disk(tmp_path / "rows")) == ROWS


def test_minari_round_trip(tmp_path, monkeypatch):
    import minari

    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path))
    to_minari(ROWS, "w4s/rows-v0")
    stored = minari.load_dataset("w4s/rows-v0")
    assert from_minari(stored) == ROWS
    assert next(iter(stored.iterate_episodes())).rewards[0] == 0.5


def test_a_column_without_any_value_keeps_its_type():
    unmeasured = [replace(FIRST, reward=None, accuracy=None)]
    assert to_dataset(unmeasured).features == to_dataset(ROWS).features
    assert from_dataset(to_dataset(unmeasured)) == unmeasured


def test_a_line_that_is_no_row_is_named(tmp_path):
    file = tmp_path / "rows.jsonl"
    write_rows(file, ROWS[:1])
    with file.open("a") as stream:
        stream.write('{"action": "x"}\n')
    with pytest.raises(ValueError, match="line 2: not a trajectory row"):
        list(read_rows(file))
