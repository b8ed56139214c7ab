"""Trajectories as a Hugging Face dataset or a Minari dataset, and back, without loss."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from itertools import groupby
from typing import TYPE_CHECKING, Any

from w4s_gym.algos.trajectory import Row
from w4s_gym.prompts import render_text
from w4s_gym.spaces import UnicodeText

if TYPE_CHECKING:
    from datasets import Dataset
    from minari import MinariDataset
    from minari.data_collector import EpisodeBuffer


def to_dataset(rows: Iterable[Row]) -> Dataset:
    """Return a dataset with one record per row, in the form that trl's trainers train on completions.

    `prompt` holds the chat messages that the policy saw and `completion` its text, as one message of the assistant; the
    other columns are the fields of `Row`, but `chosen` is `taken`: trl takes a column `chosen` for a preferred text.
    """
    from datasets import Dataset, Features, List, Value

    chat = List({"role": Value("string"), "content": Value("string")})
    features = Features(
        {
            "prompt": chat,
            "completion": chat,
            "reward": Value("float64"),
            "accuracy": Value("float64"),
            "kind": Value("string"),
            "status": Value("string"),
            "taken": Value("bool"),
            "benchmark": Value("string"),
            "run": Value("string"),
            "episode": Value("int64"),
            "turn": Value("int64"),
            "candidate": Value("int64"),
            "simulated": Value("bool"),
            "reward_kind": Value("string"),
            "truncated": Value("bool"),
            "new_best": Value("bool"),
        }
    )
    return Dataset.from_list([_record(row) for row in rows], features=features)


def _record(row: Row) -> dict[str, Any]:
    fields = asdict(row)
    completion = [{"role": "assistant", "content": fields.pop("action")}]
    return {"prompt": list(fields.pop("messages")), "completion": completion, "taken": fields.pop("chosen"), **fields}


def from_dataset(dataset: Dataset) -> list[Row]:
    """Read what `to_dataset` wrote, in earlier versions too, whose columns were the fields of `Row`."""
    rows = []
    for record in dataset:
        fields = dict(record)
        if "prompt" in fields:
            (reply,) = fields.pop("completion")
            fields |= {"messages": fields.pop("prompt"), "action": reply["content"], "chosen": fields.pop("taken")}
        rows.append(Row.from_fields(fields))
    return rows


def to_minari(
    rows: Iterable[Row],
    dataset_id: str,
    *,
    author: str | None = None,
    author_email: str | None = None,
    code_permalink: str | None = None,
) -> MinariDataset:
    """Write a Minari dataset of whole episodes: their steps are the texts that the state went on with.

    A step observes the rendered messages, its action is the text, and its reward is what the environment paid: 0 for a
    text that was sent back for a repair, NaN for one that could not be measured (Minari knows no missing reward), which
    also truncates the episode. The info `texts` of a step holds the rows of its turn as JSON, candidates that were not
    taken included, so that `from_minari` gives back every row.

    Args:
        rows: what to write; the algorithms' names are taken from their field `run`.
        dataset_id: `<namespace>/<name>-v<number>`; it is written below `MINARI_DATASETS_PATH`.
        author: who made the data.
        author_email: where to reach them.
        code_permalink: address of the code that made the data.

    Raises:
        ValueError: a dataset of this id exists, or the id is malformed (from Minari).
    """
    import minari

    numbered = list(enumerate(rows))
    episodes = [list(of) for _, of in groupby(sorted(numbered, key=_episode), key=_episode)]
    benchmarks = sorted({row.benchmark for _, row in numbered})
    simulated = any(row.simulated for _, row in numbered)
    return minari.create_dataset_from_buffers(
        dataset_id=dataset_id,
        buffer=[_buffer(number, of) for number, of in enumerate(episodes)],
        env=None,
        observation_space=UnicodeText(),
        action_space=UnicodeText(),
        algorithm_name=", ".join(sorted({row.run.partition("/")[0] for _, row in numbered})),
        author=author,
        author_email=author_email,
        code_permalink=code_permalink,
        data_format="arrow",
        description=f"Episodes of workflow design on {', '.join(benchmarks)}"
        + (", measured with a simulated executor" if simulated else ""),
    )


def from_minari(dataset: MinariDataset) -> list[Row]:
    """Read what `to_minari` wrote, in the order of the rows then.

    Raises:
        ValueError: it was written by another program, or by a version before 0.2.
    """
    rows: dict[int, Row] = {}
    for episode in dataset.iterate_episodes():
        if "texts" not in (episode.infos or {}):
            raise ValueError(
                f"expected a dataset that to_minari wrote, with the info 'texts'; episode {episode.id} has "
                f"{', '.join(episode.infos or {}) or 'none'}. Write it again from its rows.jsonl"
            )
        for action, texts in zip(episode.actions, episode.infos["texts"][1:], strict=True):
            for number, fields in json.loads(str(texts)):
                rows[number] = Row.from_fields({"action": str(action), **fields})
    return [rows[number] for number in sorted(rows)]


Numbered = tuple[int, Row]


def _episode(numbered: Numbered) -> tuple[str, str, int]:
    _, row = numbered
    return row.benchmark, row.run, row.episode


def _buffer(number: int, episode: Sequence[Numbered]) -> EpisodeBuffer:
    """One episode: the texts that were taken turn by turn; the rest of a turn goes with its last text."""
    from minari.data_collector import EpisodeBuffer

    steps: list[Row] = []
    rewards: list[float] = []
    texts = [""]
    for _, of in groupby(sorted(episode, key=lambda pair: pair[1].turn), key=lambda pair: pair[1].turn):
        turn = list(of)
        last = next((pair for pair in turn if pair[1].chosen), turn[-1])
        taken = [pair for pair in turn if pair[1].candidate == last[1].candidate and pair[0] <= last[0]]
        others = [pair for pair in turn if pair not in taken]
        for place, row in taken:
            fields = asdict(row)
            del fields["action"]  # stands in `actions`
            beside = [[n, asdict(other)] for n, other in others] if place == last[0] else []
            texts.append(json.dumps([[place, fields], *beside], ensure_ascii=False))
            steps.append(row)
            rewards.append(_paid(row) if place == last[0] else 0.0)
    ended = [i == len(steps) - 1 for i in range(len(steps))]
    lost = steps[-1].status == "infrastructure"
    return EpisodeBuffer(
        id=number,
        observations=[*(render_text(list(row.messages)) for row in steps), ""],
        actions=[row.action for row in steps],
        rewards=rewards,
        terminations=[end and not lost for end in ended],
        truncations=[end and lost for end in ended],
        infos={"texts": texts},
    )


def _paid(row: Row) -> float:
    return float("nan") if row.reward is None else row.reward
