"""Trajectories as a Hugging Face dataset or a Minari dataset, and back, without loss."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict
from typing import TYPE_CHECKING

from w4s_gym.algos.trajectory import Row
from w4s_gym.prompts import render_text
from w4s_gym.spaces import UnicodeText

if TYPE_CHECKING:
    from datasets import Dataset
    from minari import MinariDataset


def to_dataset(rows: Iterable[Row]) -> Dataset:
    """Return a dataset with one record per row; `messages` and `action` are trl's prompt and completion."""
    from datasets import Dataset, Features, List, Value

    features = Features(
        {
            "messages": List({"role": Value("string"), "content": Value("string")}),
            "action": Value("string"),
            "reward": Value("float64"),
            "accuracy": Value("float64"),
            "kind": Value("string"),
            "status": Value("string"),
            "chosen": Value("bool"),
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
    records = [{**asdict(row), "messages": list(row.messages)} for row in rows]
    return Dataset.from_list(records, features=features)


def from_dataset(dataset: Dataset) -> list[Row]:
    """Read what `to_dataset` wrote."""
    return [Row.from_fields(record) for record in dataset]


def to_minari(rows: Iterable[Row], dataset_id: str) -> MinariDataset:
    """Write a Minari dataset in which each row is an episode of one step: the m candidates of a state branch off it.

    Observations are the rendered messages and the action is the text. Minari knows no missing reward: one that could
    not be measured is NaN. The other fields, and the messages, are kept as JSON in the info `row`.

    Args:
        rows: what to write.
        dataset_id: `<namespace>/<name>-v<number>`; it is written below `MINARI_DATASETS_PATH`.

    Raises:
        ValueError: a dataset of this id exists, or the id is malformed (from Minari).
    """
    import minari
    from minari.data_collector import EpisodeBuffer

    buffers = []
    for number, row in enumerate(rows):
        fields = asdict(row)
        buffers.append(
            EpisodeBuffer(
                id=number,
                observations=[render_text(list(row.messages)), ""],
                actions=[fields.pop("action")],
                rewards=[float("nan") if row.reward is None else row.reward],
                terminations=[True],
                truncations=[False],
                infos={"row": ["", json.dumps(fields, ensure_ascii=False)]},
            )
        )
    return minari.create_dataset_from_buffers(
        dataset_id=dataset_id,
        buffer=buffers,
        env=None,
        observation_space=UnicodeText(),
        action_space=UnicodeText(),
        data_format="arrow",
        description="Workflow design trajectories: one candidate an episode",
    )


def from_minari(dataset: MinariDataset) -> list[Row]:
    """Read what `to_minari` wrote."""
    rows = []
    for episode in dataset.iterate_episodes():
        fields = json.loads(str(episode.infos["row"][-1]))
        rows.append(Row.from_fields({**fields, "action": str(episode.actions[0])}))
    return rows
