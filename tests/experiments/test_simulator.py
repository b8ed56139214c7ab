"""What the simulator is checked with: the recorded workflows run, and the profile of a recording holds its error."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest

from w4s_gym.benchmark import Item, get_benchmark
from w4s_gym.calibration.recorded import read_run
from w4s_gym.executors.sim import SimulatedExecutor
from w4s_gym.executors.simulation.profile import load_profile

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "experiments" / "simulator"))
import check
from check import Args, main
from in_process import InProcess
from recorded_workflows import recorded_workflows


def test_every_recorded_workflow_answers_and_has_room_for_its_replies():
    runner = InProcess(get_benchmark("ChainSum"), get_benchmark("ChainSum").load(style="story", size=6))
    executor = SimulatedExecutor("sim:gpt-4o-mini")
    sources = recorded_workflows(4)
    assert len(sources) >= 12
    for name, source in sources.items():
        assert "max_completion_tokens=4 * tokens" in source
        assert sum(runner.scores(executor, source)) >= 3, name


RECORDING = Path(check.__file__).parent / "recordings" / "qwen2.5-coder-1.5b" / "journal.jsonl"


def test_the_shipped_profile_of_a_recorded_model_answers_as_the_model_did():
    recorded = read_run(RECORDING)
    names = {source: name for name, source in recorded_workflows(4).items()}
    real = {names[workflow.source]: np.mean(list(workflow.scores.values())) for workflow in recorded}
    assert set(real) == set(names.values()) and {len(workflow.scores) for workflow in recorded} == {40}
    text = (
        "A shop (number {0}) sells {0} crates with {1} bottles each on every Monday. On the other days of the week it "
        "is closed, and whoever comes then goes away without a bottle. How many bottles does it sell in a whole week?"
    )
    items = [Item(f"w/{n}", text.format(n, n + 3), str(n * (n + 3))) for n in range(2, 302)]
    runner, executor = InProcess(get_benchmark("GSM8K"), items), SimulatedExecutor("sim:qwen2.5-coder-1.5b")
    found = {name: np.mean(runner.scores(executor, source)) for source, name in names.items()}
    assert np.mean([abs(found[name] - real[name]) for name in names.values()]) < 0.05
    assert found["plain, step by step"] > found["expression"] > found["JSON reasoning, answer"] > found["plain"]


@pytest.mark.slow
def test_a_simulated_model_is_recorded_predicted_and_shipped(tmp_path, capsys):
    args = Args(executor="sim:gpt-3.5-turbo", items=8, folder=tmp_path, ship=tmp_path / "mine.json")
    main(args)
    told = capsys.readouterr().out
    assert "always saying the mean would be off by" in told and "simulated" in told
    provenance, *_ = load_profile(str(args.ship)).provenance
    assert "sim:gpt-3.5-turbo" in provenance and "predicted blind" in provenance
    recorded = (tmp_path / "journal.jsonl").read_text()
    assert len(recorded.splitlines()) == len(recorded_workflows(1)) and json.loads(recorded.splitlines()[0])
