"""Publishing trajectories on the Hugging Face hub: the data, and a card that says what they are."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

from w4s_gym import __version__
from w4s_gym.algos.export import to_dataset
from w4s_gym.algos.trajectory import Row
from w4s_gym.benchmark import Benchmark, get_benchmark
from w4s_gym.errors import ConfigError

_HUB_LICENCES = ("apache-2.0", "mit", "cc-by-4.0", "cc-by-sa-4.0")
"""Of the hub's own names those that benchmarks have."""

_CITATION = """\
@article{nie2025weakforstrong,
  title  = {Weak-for-Strong: Training Weak Meta-Agent to Harness Strong Executors},
  author = {Nie, Fan and Feng, Lan and Ye, Haotian and Liang, Weixin and Lu, Pan and Yao, Huaxiu and Alahi, Alexandre and Zou, James},
  year   = {2025},
  url    = {https://arxiv.org/abs/2504.04785}
}"""  # noqa: E501


def dataset_card(rows: Sequence[Row], licence: str | None = None) -> str:
    """Return the card (`README.md`) of a dataset of trajectories.

    Args:
        rows: what the dataset holds.
        licence: under which you publish it, by the hub's name (`cc-by-4.0`). Prompts quote items of the benchmarks, so
            by default it is theirs, if all have the same and the hub knows it.

    Raises:
        ConfigError: there are no rows.
        UnknownBenchmark: a benchmark of the rows is not registered.
    """
    if not rows:
        raise ConfigError("expected rows to describe; got none")
    benchmarks = _benchmarks(rows)
    simulated = sum(row.simulated for row in rows)
    statuses = Counter(row.status for row in rows)
    runs = sorted({row.run for row in rows})
    licences = "\n".join(f"* {b.name}: {b.licence or 'unknown'}" for b in benchmarks)
    executor = (
        "**Simulated**: all rewards and accuracies come from a simulated executor. They say nothing about a real model."
        if simulated == len(rows)
        else f"**Partly simulated**: {simulated:,} of the {len(rows):,} rows come from a simulated executor (column "
        "`simulated`); their rewards and accuracies say nothing about a real model."
        if simulated
        else "Rewards and accuracies were measured with a real executor."
    )
    return f"""\
---
license: {licence or _shared(benchmarks) or "other"}
task_categories: [text-generation]
tags: [w4s-gym, workflow-design, reinforcement-learning{", simulated" if simulated else ""}]
configs: [{{config_name: default, data_files: data/train.parquet}}]
---
# Workflow design on {", ".join(b.name for b in benchmarks)}{" (simulated)" if simulated else ""}

{len(rows):,} texts that meta-agents wrote, and what they earned. A meta-agent designs workflows, Python programs that
call a frozen executor, and is paid for accuracy on validation items. Made with w4s-gym {__version__}.

{executor}

| column | |
|---|---|
| `prompt`, `completion` | chat messages that the meta-agent saw, and its text |
| `reward`, `accuracy` | what it earned, validation accuracy; empty where nothing could be measured |
| `kind`, `status` | first attempt or repair; `evaluated`, `skipped` (did not run) or `infrastructure` (not measured) |
| `taken`, `new_best` | whether the episode went on with it; whether it beat all before it |
| `run`, `episode`, `turn`, `candidate` | where it stands |

Texts by status: {", ".join(f"{count:,} {status}" for status, count in sorted(statuses.items()))}.
Runs: {", ".join(runs)}.

## Licence

Prompts quote items of the benchmarks, whose licences hold for them:

{licences}

## Citation

```bibtex
{_CITATION}
```
"""


def write_publication(rows: Iterable[Row], folder: Path, licence: str | None = None) -> Path:
    """Write `data/train.parquet` and `README.md`, as they are published; `datasets.load_dataset(folder)` reads them.

    Args:
        rows: what to write.
        folder: is made; files of the same names are replaced.
        licence: as for `dataset_card`.

    Returns:
        The folder.

    Raises:
        ConfigError: a benchmark must not be published, or there are no rows.
    """
    rows = list(rows)
    _refuse_confidential(rows)
    card = dataset_card(rows, licence)
    (folder / "data").mkdir(parents=True, exist_ok=True)
    to_dataset(rows).to_parquet(str(folder / "data" / "train.parquet"))
    (folder / "README.md").write_text(card, encoding="utf-8")
    return folder


def push_to_hub(
    rows: Iterable[Row], repo_id: str, *, licence: str | None = None, private: bool = True, token: str | None = None
) -> str:
    """Publish trajectories as a dataset with its card.

    Args:
        rows: what to publish.
        repo_id: `<user>/<name>` on the hub.
        licence: as for `dataset_card`; needed where that of a benchmark is unknown or not one of the hub's.
        private: whether only you can see it.
        token: of the hub (default: that of `hf auth login` or `HF_TOKEN`).

    Returns:
        Its address.

    Raises:
        ConfigError: the owners of a benchmark ask that its texts are not published, or no licence is known; nothing was
            sent.
        UnknownBenchmark: a benchmark of the rows is not registered, so that nobody knows whether it may be published.
    """
    from tempfile import TemporaryDirectory

    from huggingface_hub import HfApi

    rows = list(rows)
    _refuse_confidential(rows)
    if licence is None and _shared(_benchmarks(rows)) is None:
        told = ", ".join(f"{b.name}: {b.licence or 'unknown'}" for b in _benchmarks(rows))
        raise ConfigError(
            f"expected a licence that the prompts can be published under; they quote items of {told}. "
            "Clear that with their owners, and say it by licence="
        )
    with TemporaryDirectory() as scratch:
        folder = write_publication(rows, Path(scratch), licence)
        api = HfApi(token=token)
        api.create_repo(repo_id, repo_type="dataset", private=private, exist_ok=True)
        api.upload_folder(repo_id=repo_id, repo_type="dataset", folder_path=folder)
    return f"https://huggingface.co/datasets/{repo_id}"


def _benchmarks(rows: Sequence[Row]) -> list[Benchmark]:
    return [get_benchmark(name) for name in sorted({row.benchmark for row in rows})]


def _refuse_confidential(rows: Sequence[Row]) -> None:
    secret = [benchmark.name for benchmark in _benchmarks(rows) if benchmark.confidential]
    if secret:
        raise ConfigError(
            f"expected rows that may be published; the owners of {', '.join(secret)} ask that its questions never "
            "appear in plain text. Leave its rows out"
        )


def _shared(benchmarks: Sequence[Benchmark]) -> str | None:
    """The licence that all have, if the hub has a name for it."""
    names = {benchmark.licence.lower() for benchmark in benchmarks}
    return names.pop() if len(names) == 1 and names <= set(_HUB_LICENCES) else None
