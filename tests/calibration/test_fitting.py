"""Fitting domains to accuracies, and profiles out of journals."""

from __future__ import annotations

from dataclasses import replace
from statistics import NormalDist

import numpy as np
import pytest

import w4s_gym  # noqa: F401 - registers the benchmarks
from w4s_gym._loop import run_sync
from w4s_gym.benchmark import get_benchmark
from w4s_gym.calibration.fitting import Prior, fit_domain
from w4s_gym.calibration.recorded import (
    Comparison,
    Recorded,
    Simulation,
    accuracies,
    blank_profile,
    fit_run,
    halves,
    read_run,
)
from w4s_gym.episode import Episode
from w4s_gym.errors import ConfigError
from w4s_gym.evaluation import EvaluationLimits, Evaluator
from w4s_gym.executors.sim import SimulatedExecutor
from w4s_gym.executors.simulation.profile import Domain
from w4s_gym.journal import Journal
from w4s_gym.ledger import Ledger
from w4s_gym.measure import evaluation_view
from w4s_gym.sandbox import Sandbox
from w4s_gym.workflows import hand_made_workflow

PHI = NormalDist().cdf
PRIORS = (Prior("steps", 0.3, 2.0), Prior("prose", 0.0, 0.7, above="steps"), Prior("principle", 0.0, 0.4))


def stage(domain, rows, size):
    """Three workflows of a smooth executor: plain text, reasoning, reasoning after principles."""
    everything = [PHI(domain.prose), PHI(domain.steps), PHI(domain.steps + domain.principle)]
    return np.array([everything[row] for row in rows])


def test_a_fit_reproduces_what_was_measured():
    truth = replace(Domain(), steps=-0.7, prose=-0.2, principle=0.25)
    fit = fit_domain(Domain(), stage(truth, range(3), "full").tolist(), stage, priors=PRIORS)
    assert np.max(np.abs(fit.simulated - fit.measured)) < 0.005
    assert fit.domain.steps == pytest.approx(-0.7, abs=0.05)
    assert fit.domain.principle == pytest.approx(0.25, abs=0.06)
    assert fit.domain.noise == Domain().noise, "what has no prior stays"


def test_what_only_the_left_out_workflow_measured_falls_back_to_its_prior():
    truth = replace(Domain(), steps=-0.7, prose=-0.2, principle=0.25)
    fit = fit_domain(Domain(), stage(truth, range(3), "full").tolist(), stage, priors=PRIORS)
    without = fit.without(2)
    assert without.principle == pytest.approx(0.0, abs=0.02)
    assert without.steps == pytest.approx(fit.domain.steps, abs=0.05)
    assert fit.without(0).prose == pytest.approx(fit.domain.steps, abs=0.05), "plain text follows reasoning"


def test_a_journal_is_read_back(tmp_path):
    path = tmp_path / "journal.jsonl"
    with Journal(path) as journal:
        journal.write("reset", seed=0)
        journal.write("evaluation", workflow="a", items=[["1", "ok", 1.0], ["2", "infrastructure", 0.0]])
        journal.write("evaluation", workflow="a", items=[["3", "error", 0.0]])
        journal.write("evaluation", workflow="b", items=[["1", "ok", 0.5]])
    assert read_run(path) == [Recorded("a", {"1": 1.0, "3": 0.0}), Recorded("b", {"1": 0.5})]
    with pytest.raises(ConfigError, match="none"):
        read_run(tmp_path / "missing.jsonl")


def test_comparison():
    comparison = Comparison(np.array([0.1, 0.5, 0.9]), np.array([0.2, 0.4, 0.8]))
    assert comparison.error == pytest.approx(0.1) and comparison.rank_correlation == pytest.approx(1.0)


@pytest.mark.slow
def test_a_profile_comes_back_out_of_a_recorded_run(tmp_path):
    """The journal of one simulated executor, fitted by another one to which other items are hard."""
    benchmark = get_benchmark("ChainSum")
    items = list(benchmark.load(style="story", size=40))
    truth = replace(Domain(), understand=1.5, prose=-1.2, steps=0.5, code=1.6)
    sources = [hand_made_workflow(name, "number") for name in ("IO", "CoT", "ProgramOfThought")]
    profile = replace(blank_profile("original", "original"), domains={"ChainSum": truth})
    with Sandbox() as sandbox:
        with Journal(tmp_path / "journal.jsonl") as journal:
            evaluator = Evaluator(benchmark, SimulatedExecutor("sim:x", profile), sandbox, EvaluationLimits())
            for source in sources:
                evaluation = run_sync(evaluator.evaluate(source, items, Episode(0, Ledger("record"))))
                journal.write("evaluation", workflow=source, **evaluation_view(evaluation))
        recorded = read_run(tmp_path / "journal.jsonl")
        fitted, held_out = halves(items)
        simulation = Simulation(benchmark, blank_profile("copy", "copy"), sandbox)
        more = list(benchmark.load(style="story", size=120))
        fit = fit_run(simulation.measure, recorded, fitted, Domain(), simulated=more)
        found = simulation.measure(fit.domain, recorded, more)
    comparison = Comparison(accuracies(recorded, held_out), found)
    assert comparison.error < 0.2
    assert found[0] < min(found[1:]) - 0.2, "the plain call is the worst by far"
