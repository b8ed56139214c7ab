from dataclasses import replace
from pathlib import Path

import pytest

from w4s_gym.algos.export import from_dataset
from w4s_gym.algos.publish import dataset_card, push_to_hub, write_publication
from w4s_gym.algos.trajectory import Row
from w4s_gym.benchmark import benchmark_names, get_benchmark
from w4s_gym.errors import ConfigError, UnknownBenchmark

ROW = Row(
    ({"role": "user", "content": "Design."},), "text", 0.5, 0.25, "design", "evaluated", True, "GSM8K", "rlao/1", 0, 0,
    0, True, "tiers",
)  # fmt: skip


@pytest.fixture
def hub(monkeypatch):
    """Stands in for the hub: keeps what would be sent."""
    import huggingface_hub

    sent = {}

    class Api:
        def __init__(self, token=None):
            pass

        def create_repo(self, repo_id, **options):
            sent[repo_id] = options

        def upload_folder(self, *, repo_id, repo_type, folder_path):
            folder = Path(folder_path)
            sent["files"] = {str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file()}
            sent["card"] = (folder / "README.md").read_text()

    monkeypatch.setattr(huggingface_hub, "HfApi", Api)
    return sent


def test_what_is_published_holds_the_data_and_says_what_they_are(hub):
    assert push_to_hub([ROW], "me/rows") == "https://huggingface.co/datasets/me/rows"
    assert hub["me/rows"] == {"repo_type": "dataset", "private": True, "exist_ok": True}
    assert hub["files"] == {"README.md", "data/train.parquet"}
    for said in ("license: mit", "GSM8K", "**Simulated**", "nie2025weakforstrong", "rlao/1"):
        assert said in hub["card"]


def test_the_folder_is_read_back_by_the_card_alone(tmp_path):
    from datasets import load_dataset

    folder = write_publication([ROW], tmp_path / "set")
    assert from_dataset(load_dataset(str(folder), split="train", cache_dir=str(tmp_path / "cache"))) == [ROW]


def test_confidential_benchmarks_are_refused_and_nothing_is_sent(hub, tmp_path):
    with pytest.raises(ConfigError, match="GPQA"):
        push_to_hub([ROW, replace(ROW, benchmark="GPQA")], "me/rows", licence="mit")
    with pytest.raises(ConfigError, match="GPQA"):
        write_publication([replace(ROW, benchmark="GPQA")], tmp_path / "set")
    assert not hub and not (tmp_path / "set").exists()


@pytest.mark.parametrize("rows", [[replace(ROW, benchmark="MATH")], [ROW, replace(ROW, benchmark="MGSM")]])
def test_without_a_common_licence_who_publishes_must_name_one(hub, rows):
    with pytest.raises(ConfigError, match="licence="):
        push_to_hub(rows, "me/rows")
    assert not hub
    push_to_hub(rows, "me/rows", licence="cc-by-4.0")
    assert "license: cc-by-4.0" in hub["card"]


def test_rows_of_nobodys_benchmark_and_no_rows_are_refused(hub):
    with pytest.raises(UnknownBenchmark):
        push_to_hub([replace(ROW, benchmark="Mine")], "me/rows", licence="mit")
    with pytest.raises(ConfigError, match="got none"):
        push_to_hub([], "me/rows", licence="mit")


def test_the_card_tells_simulated_rows_from_measured_ones():
    assert "Simulated" not in dataset_card([replace(ROW, simulated=False)])
    assert "1 of the 2 rows" in dataset_card([ROW, replace(ROW, simulated=False)])


def test_every_benchmark_has_a_licence():
    benchmarks = [get_benchmark(name) for name in benchmark_names()]
    ours = [benchmark for benchmark in benchmarks if benchmark.load.__module__.startswith("w4s_gym.envs.")]
    assert len(ours) >= 14 and all(benchmark.licence for benchmark in ours)
