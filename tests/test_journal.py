import json
import os

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from w4s_gym.errors import ConfigError, DataCorrupt
from w4s_gym.journal import Journal, RunFolder, read_journal


def make(path, **config):
    return RunFolder.create(path, config, simulated=True, isolation="process")


def test_a_folder_says_what_made_it(tmp_path):
    make(tmp_path / "a" / "run", env="W4S-MGSM-v0")
    folder = RunFolder.open(tmp_path / "a" / "run")
    assert folder.config == {"env": "W4S-MGSM-v0"}
    assert folder.simulated
    assert folder.facts["isolation"] == "process"
    assert folder.facts["packages"]["gymnasium"]


def test_records_come_back_in_order(tmp_path):
    folder = make(tmp_path)
    with folder.journal() as journal:
        journal.write("cell", name="rlao/0", score=0.1)
        journal.write("note", text="zwei\nZeilen é")
    with folder.journal() as journal:
        journal.write("cell", name="rlao/1", score=0.2)
    assert [r["name"] for r in folder.records("cell")] == ["rlao/0", "rlao/1"]
    assert folder.records()[1]["text"] == "zwei\nZeilen é"


def test_only_one_process_at_a_time_writes_to_a_run_folder(tmp_path):
    folder = make(tmp_path)
    with folder.journal() as journal:
        with pytest.raises(ConfigError, match="another process is running"), RunFolder.open(tmp_path).journal():
            pass
        journal.write("cell", n=1)
    with RunFolder.open(tmp_path).journal() as journal:
        journal.write("cell", n=2)
    assert [r["n"] for r in folder.records()] == [1, 2]


def test_a_run_folder_that_cannot_be_locked_is_an_error_that_says_what_to_do(tmp_path):
    folder = make(tmp_path)
    (tmp_path / "running.lock").mkdir()
    with pytest.raises(ConfigError, match=r"can be written.*Choose another"), folder.journal():
        pass


def test_a_record_is_on_disk_before_the_journal_is_closed(tmp_path):
    journal = Journal(tmp_path / "j")
    journal.write("cell", n=1)
    assert list(read_journal(tmp_path / "j")) == [{"kind": "cell", "n": 1}]
    journal.close()


@settings(max_examples=40)
@given(cut=st.integers(min_value=0, max_value=400))
def test_a_kill_at_any_byte_loses_at_most_the_record_being_written(tmp_path_factory, cut):
    path = tmp_path_factory.mktemp("j") / "journal.jsonl"
    with Journal(path) as journal:
        for n in range(12):
            journal.write("step", n=n, text="é" * n)
    whole = path.read_bytes()
    path.write_bytes(whole[:cut])
    complete = whole[:cut].count(b"\n")
    assert [r["n"] for r in read_journal(path)] == list(range(complete))
    with Journal(path) as journal:
        journal.write("step", n=-1)
    assert [r["n"] for r in read_journal(path)] == [*range(complete), -1]


def test_damage_in_the_middle_is_an_error_that_names_the_line(tmp_path):
    path = tmp_path / "journal.jsonl"
    path.write_text('{"kind": "a"}\n{"kind": \n{"kind": "b"}\n')
    with pytest.raises(DataCorrupt, match="line 2"):
        list(read_journal(path))
    path.write_text("[1]\n")
    with pytest.raises(DataCorrupt, match="'kind'"):
        list(read_journal(path))


def test_only_plain_finite_json_is_accepted_and_a_refused_record_leaves_no_trace(tmp_path):
    with Journal(tmp_path / "j") as journal:
        with pytest.raises(ValueError, match="plain JSON"):
            journal.write("cell", value=object())
        with pytest.raises(ValueError):
            journal.write("cell", value=float("nan"))
        journal.write("cell", value=1)
    assert len(list(read_journal(tmp_path / "j"))) == 1


def test_foreign_and_used_folders_are_refused(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(ConfigError, match="other files"):
        make(tmp_path)
    make(tmp_path / "run")
    with pytest.raises(ConfigError, match="another run"):
        make(tmp_path / "run")
    with pytest.raises(ConfigError, match=r"config\.json"):
        RunFolder.open(tmp_path)
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "llama"}))
    with pytest.raises(ConfigError, match="something else"):
        RunFolder.open(tmp_path)


def test_a_place_that_cannot_be_written_is_refused_with_its_name(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="that can be written"):
        make(tmp_path / "file" / "run")
    if os.geteuid() != 0:
        (tmp_path / "locked").mkdir(mode=0o500)
        with pytest.raises(ConfigError, match="Permission denied"):
            make(tmp_path / "locked" / "run")
    (tmp_path / "dir.jsonl").mkdir()
    with pytest.raises(ConfigError, match="journal"):
        Journal(tmp_path / "dir.jsonl")
