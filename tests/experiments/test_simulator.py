"""What the simulator is checked with: the recorded workflows run, and the profile of a recording holds its error."""

import json
import sys
from pathlib import Path

import pytest

from w4s_gym.benchmark import get_benchmark
from w4s_gym.executors.sim import SimulatedExecutor
from w4s_gym.executors.simulation.profile import load_profile

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "experiments" / "simulator"))
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


@pytest.mark.slow
def test_a_simulated_model_is_recorded_predicted_and_shipped(tmp_path, capsys):
    args = Args(executor="sim:gpt-3.5-turbo", items=8, folder=tmp_path, ship=tmp_path / "mine.json")
    main(args)
    told = capsys.readouterr().out
    assert "always saying the mean would be off by" in told and "simulated" in told
    (provenance,) = load_profile(str(args.ship)).provenance
    assert "sim:gpt-3.5-turbo" in provenance and "predicted blind" in provenance
    recorded = (tmp_path / "journal.jsonl").read_text()
    assert len(recorded.splitlines()) == len(recorded_workflows(1)) and json.loads(recorded.splitlines()[0])
