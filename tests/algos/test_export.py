import json
import math
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


def test_trl_trains_on_completions_alone(tmp_path, random_llm):
    """trl takes columns by their names: with others it trains on prompts, and says nothing."""
    from trl import SFTConfig, SFTTrainer

    # Whether a row is a chat trl tells by any one of the columns it knows, the first of a set.
    assert {"messages", "text", "chosen", "rejected"}.isdisjoint(to_dataset(ROWS).column_names)
    trainer = SFTTrainer(
        model=str(random_llm),
        train_dataset=to_dataset(ROWS[:2]),
        args=SFTConfig(
            output_dir=str(tmp_path), max_steps=2, per_device_train_batch_size=2, max_length=None, use_cpu=True,
            bf16=False, report_to="none", save_strategy="no", logging_steps=1,
        ),
    )  # fmt: skip
    batch = next(iter(trainer.get_train_dataloader()))
    for ids, labels in zip(batch["input_ids"], batch["labels"], strict=True):
        learned = trainer.processing_class.decode(labels[labels != -100], skip_special_tokens=True)
        assert learned.strip() == WRITTEN.strip()
        assert 'and "quotes"' in trainer.processing_class.decode(ids[labels == -100])
    before = [p.detach().clone() for p in trainer.model.parameters()]
    trainer.train()
    assert trainer.state.global_step == 2
    assert any((a != b).any() for a, b in zip(before, trainer.model.parameters(), strict=True))


EPISODE = [
    replace(FIRST, turn=0, candidate=0, chosen=False, reward=0.0, accuracy=0.25),
    replace(FIRST, turn=0, candidate=1, chosen=False, reward=-1.0, accuracy=None, action="broken"),
    replace(FIRST, turn=0, candidate=1, chosen=True, reward=1.0, kind="repair", action="repaired"),
    replace(FIRST, turn=1, candidate=0, chosen=True, reward=0.5, action="better", messages=CHAT[:2]),
    replace(FIRST, turn=1, candidate=1, chosen=False, reward=None, status="infrastructure", accuracy=None),
]


def test_minari_has_whole_episodes_with_their_returns(tmp_path, monkeypatch):
    import minari

    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path))
    lost = [replace(EPISODE[-1], episode=9, chosen=True, turn=0)]
    search = [replace(FIRST, run="adas/0", episode=i, turn=0, candidate=0, chosen=False) for i in (0, 0, 1)]
    rows = [*EPISODE, *search, *lost]  # not in the order of the episodes
    to_minari(rows, "w4s/rows-v0", author="An author", author_email="a@b.c", code_permalink="https://example.org/code")
    stored = minari.load_dataset("w4s/rows-v0")
    assert from_minari(stored) == rows
    metadata = stored.storage.metadata
    assert metadata["algorithm_name"] == "adas, rlao" and "simulated" in metadata["description"]
    assert {"An author"} == set(metadata["author"]) and metadata["code_permalink"] == "https://example.org/code"
    whole, cut = [e for e in stored.iterate_episodes() if json.loads(e.infos["texts"][1])[0][1]["run"] == "rlao/1"]
    assert list(whole.actions) == ["broken", "repaired", "better"]
    assert whole.rewards.tolist() == [0.0, 1.0, 0.5]
    assert whole.terminations.tolist() == [False, False, True] and not whole.truncations.any()
    assert "again" in whole.observations[0] and "again" not in whole.observations[2]
    assert math.isnan(cut.rewards[0]) and cut.truncations.tolist() == [True] and not cut.terminations.any()


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
