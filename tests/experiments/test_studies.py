"""Transfer, ablations and the published set-ups, on sizes that only show that they run end to end."""

import ablations
import learners
import numpy as np
import paper
import pytest
import transfer

from w4s_gym.errors import ConfigError
from w4s_gym.journal import RunFolder
from w4s_gym.study.command import Study
from w4s_gym.study.cost import plan

SMALL = {
    "seeds": 1,
    "budget": 30,
    "candidates": 2,
    "design_episodes": 1,
    "validation_size": 4,
    "test_size": 4,
    "workers": 0,
}


@pytest.fixture(autouse=True)
def no_model(monkeypatch, grammar_policy):
    grammar_policy(monkeypatch)


def run(module, config, cells):
    return Study("test", cells, module.write_report).run(config)


def test_transfer_trains_on_some_benchmarks_and_designs_for_others(tmp_path):
    config = transfer.TransferConfig(
        **SMALL,
        run_dir=tmp_path / "run",
        train=("W4S-GSMSymbolic-v0",),
        targets=("W4S-ChainSum-v0",),
        algos=("untrained",),
    )
    assert run(transfer, config, transfer.transfer_cells) == 0
    folder = RunFolder.open(tmp_path / "run")
    (cell,) = folder.records("cell")
    assert set(cell["result"]["targets"]) == {"W4S-ChainSum-v0"}
    assert cell["result"]["training"]["calls"] == 0, "an untrained meta-agent needs no training"
    table = (tmp_path / "run" / "table.md").read_text()
    assert "simulated" in table
    assert "| untrained |" in table
    assert run(transfer, transfer.TransferConfig(report=tmp_path / "run"), transfer.transfer_cells) == 0


def test_every_ablation_is_a_valid_configuration():
    config = ablations.AblationConfig(algo_options={"rlao": {"learning_rate": 0.001}})
    for name in ablations.ABLATIONS:
        variant = ablations.variant_config(config, name)
        assert variant.algo_options["rlao"]["learning_rate"] == 0.001, "only one setting changes"
    assert ablations.variant_config(config, "tau=0.1").algo_options == {"rlao": {"learning_rate": 0.001, "tau": 0.1}}
    assert ablations.variant_config(config, "no self-test").env_options == {"self_test": False}
    assert len(ablations.ablation_cells(config)) == 3 * len(ablations.ABLATIONS)
    with pytest.raises(ConfigError, match="horizon=4"):
        ablations.ablation_cells(ablations.AblationConfig(only=("nothing",)))


def test_ablations_share_the_dollars_evenly():
    cells = ablations.ablation_cells(ablations.AblationConfig(max_dollars=30.0, seeds=2))
    shares = [cell.config.environment_options()["budget"]["dollars"] for cell in cells]
    assert sum(shares) == pytest.approx(30.0)


def test_learners_are_compared_on_every_set_up_on_seeds_of_their_own():
    config = learners.LearnersConfig(max_dollars=32.0, env_options={"max_repairs": 1})
    cells = learners.learner_cells(config)
    assert len(cells) == 4 * 2 * 2 * 5 * 15 and {cell.seed for cell in cells} == set(range(200, 215))
    assert [cell.seed for cell in cells] == sorted(cell.seed for cell in cells), "whole comparisons first"
    assert len({cell.key for cell in cells}) == len(cells)
    for cell in cells[:80]:
        cell.check()
        benchmark, kind, start = cell.variant.split(", ")
        assert cell.config.env == f"W4S-{benchmark}-v0"
        seeds = {} if start == "all" else {"seed_workflows": [start]}
        assert cell.config.env_options == {"max_repairs": 1, "reward": {"kind": kind}, **seeds}
    shares = [cell.config.environment_options()["budget"]["dollars"] for cell in cells]
    assert sum(shares) == pytest.approx(32.0)
    with pytest.raises(ConfigError, match="MGSM, tiers, all"):
        learners.learner_cells(learners.LearnersConfig(only=("MGSM, tier, all",)))


def test_a_comparison_of_learners_runs_goes_on_and_says_who_leads(tmp_path, monkeypatch, random_llm):
    from w4s_gym.algos.policies.hf import HFConfig, HFPolicy

    made = HFConfig(prompt_style="compact", max_new_tokens=8, temperature=1.0)
    monkeypatch.setattr("w4s_gym.algos.make_policy", lambda spec, **options: HFPolicy(random_llm, config=made))
    small = {**SMALL, "algos": ("untrained", "group_rlao"), "only": ("GSMSymbolic, relative, CoT",)}
    config = learners.LearnersConfig(**small, design_turns=1, run_dir=tmp_path / "run")
    assert run(learners, config, learners.learner_cells) == 0
    table = (tmp_path / "run" / "table.md").read_text()
    lines = {line.split("|")[2].strip(): line for line in table.splitlines() if line.startswith("| GSMSymbolic")}
    assert "+0.0 [+0.0, +0.0] | 0.50 [0.50, 0.50]" in lines["untrained"], "nothing was learned, so both are alike"
    assert lines["group RLAO"].endswith("| 0.0 |  |") and "simulated" in table and "1 seeds from 200" in table
    again = learners.LearnersConfig(resume=True, seeds=2, run_dir=tmp_path / "run", workers=0)
    assert run(learners, again, learners.learner_cells) == 0
    assert [r["seed"] for r in RunFolder.open(tmp_path / "run").records("cell")] == [200, 200, 201, 201]


class Scored:
    """Results of two designers: items of easy and hard, alike in all seeds and episodes."""

    items = 50

    def __init__(self, ours, theirs):
        self.scores = {learners.LEADS: ours, "sft": theirs}

    def stream(self, algo):
        return int(algo == "sft")

    def solved(self, algo):
        solved = np.arange(self.items) < self.scores[algo] * self.items
        return np.broadcast_to(solved, (3, 2, self.items)).astype(float)


def test_the_mean_lead_counts_every_benchmark_alike_and_resamples_their_items_apart():
    one = learners.mean_lead([Scored(0.8, 0.6)], "sft", Scored.solved)
    four = learners.mean_lead([Scored(0.8, 0.6)] * 4, "sft", Scored.solved)
    assert one.value == pytest.approx(0.2) == four.value
    assert (four.high - four.low) / (one.high - one.low) == pytest.approx(0.5, abs=0.05), "a mean of four apart"
    assert learners.mean_lead([Scored(0.8, 0.6), Scored(0.4, 0.8)], "sft", Scored.solved).value == pytest.approx(-0.1)


def test_an_ablation_runs(tmp_path):
    config = ablations.AblationConfig(
        **SMALL, run_dir=tmp_path / "run", algos=("untrained",), only=("no self-test", "relative reward")
    )
    assert run(ablations, config, ablations.ablation_cells) == 0
    table, front = (tmp_path / "run" / "table.md").read_text().split("### Pareto front")
    assert "(simulated)" in front and (tmp_path / "run" / "front.png").exists()
    assert [line.split("|")[1].strip() for line in table.splitlines() if line.startswith("| ")][1:] == [
        "default",
        "relative reward",
        "no self-test",
    ]


@pytest.mark.parametrize("experiment", ["main", "humaneval-cost", "iterations"])
def test_the_published_set_ups_run_on_embedded_defaults(tmp_path, experiment):
    envs = ("W4S-GSMSymbolic-v0",) if experiment != "humaneval-cost" else ()
    config = paper.PaperConfig(
        **SMALL,
        experiment=experiment,
        envs=envs,
        algos=("seed", "untrained", "random_edits"),
        run_dir=tmp_path / "run",
    )
    assert run(paper, config, paper.paper_cells) == 0
    table = (tmp_path / "run" / "table.md").read_text()
    assert "simulated" in table
    assert "| untrained |" in table


def test_the_published_sizes():
    config = paper.PaperConfig(experiment="main", published=True).comparison()
    assert (config.design_turns, config.design_candidates, config.iterations) == (10, 5, 30)
    assert config.algo_options["aflow"]["rounds"] == 20
    assert config.algo_options["adas"]["generations"] == 30
    cells = paper.paper_cells(paper.PaperConfig(experiment="transfer", published=True, algos=("rlao",)))
    assert cells[0].trained_on == ("W4S-GSMPlus-v0", "W4S-MGSM-v0")
    assert cells[0].targets == ("W4S-GSM8K-v0", "W4S-GSMHard-v0", "W4S-SVAMP-v0")


def test_the_planned_cost_is_near_the_real_one(tmp_path):
    config = paper.PaperConfig(
        **{**SMALL, "budget": 100}, experiment="main", envs=("W4S-GSMSymbolic-v0",), algos=("seed", "random_edits")
    )
    planned = plan(paper.paper_cells(config))
    assert planned.simulated
    assert "simulated" in planned.text()
    assert planned.dry.calls > 0
    running = paper.PaperConfig(**{**config.__dict__, "run_dir": tmp_path / "run"})
    assert run(paper, running, paper.paper_cells) == 0
    cells = RunFolder.open(tmp_path / "run").records("cell")
    spent = sum(c["result"]["training"]["calls"] for c in cells)
    assert 0.3 < planned.calls / spent < 4


def test_a_dollar_limit_is_never_passed(tmp_path):
    config = paper.PaperConfig(
        **{**SMALL, "budget": 10_000},
        experiment="main",
        envs=("W4S-GSMSymbolic-v0",),
        algos=("random_edits",),
        max_dollars=0.1,
        run_dir=tmp_path / "run",
    )
    assert run(paper, config, paper.paper_cells) == 0
    (cell,) = RunFolder.open(tmp_path / "run").records("cell")
    tests = sum(w["usage"]["dollars"] for w in cell["result"]["workflows"].values())
    assert 0 < cell["result"]["training"]["dollars"] + tests <= 0.1
    assert cell["result"]["training"]["calls"] < 10_000


@pytest.mark.parametrize(
    ("name", "study", "config"),
    [
        ("ablations", ablations.ABLATIONS_STUDY, ablations.AblationConfig),
        ("transfer", transfer.TRANSFER, transfer.TransferConfig),
    ],
)
def test_a_run_folder_of_earlier_code_reports_the_same_table_and_is_gone_on_with(old_run, name, study, config):
    folder, table = old_run(name)
    assert study.run(config(report=folder)) == 0
    assert (folder / "table.md").read_text() == table
    (folder / "table.md").unlink()
    assert study.run(config(run_dir=folder, resume=True, workers=0)) == 0
    assert (folder / "table.md").read_text() == table


def test_only_meta_agents_are_transferred(capsys):
    config = transfer.TransferConfig(
        **SMALL, train=("W4S-GSMSymbolic-v0",), targets=("W4S-ChainSum-v0",), algos=("seed",)
    )
    assert run(transfer, config, transfer.transfer_cells) == 2
    assert "expected a meta-agent" in " ".join(capsys.readouterr().out.split())


@pytest.mark.parametrize(
    ("stored", "study", "config", "message"),
    [
        (
            "compare",
            ablations.ABLATIONS_STUDY,
            ablations.AblationConfig,
            "compare: use python",
        ),
        ("compare", transfer.TRANSFER, transfer.TransferConfig, "compare: use python"),
        ("transfer", ablations.ABLATIONS_STUDY, ablations.AblationConfig, "transfer: use python"),
        ("ablations", Study("paper-main", paper.paper_cells, paper.write_report), paper.PaperConfig, "ablations: use"),
    ],
)
@pytest.mark.parametrize("option", ["report", "resume"])
def test_a_folder_of_another_study_is_refused_in_a_sentence(old_run, capsys, stored, study, config, message, option):
    folder, _ = old_run(stored)
    given = {"report": folder} if option == "report" else {"resume": True, "run_dir": folder}
    assert study.run(config(**given)) == 2
    assert f"is of another study, {message}" in " ".join(capsys.readouterr().out.split())
