"""The experiment with real models, on sizes that only show that it runs end to end."""

from dataclasses import replace
from pathlib import Path
from random import Random

import pytest
import weak_for_strong
from weak_for_strong import DEFAULT, ENVIRONMENT, POLICY, WEAK_FOR_STRONG, WeakForStrongConfig, completed

from w4s_gym.algos.policies.hf import HFConfig
from w4s_gym.config_file import read_config
from w4s_gym.evaluation import EvaluationLimits
from w4s_gym.executors.local import LocalConfig
from w4s_gym.journal import RunFolder
from w4s_gym.models import MODELS
from w4s_gym.options import from_fields
from w4s_gym.racing import Race, RacingRule


def test_the_defaults_ask_real_models_on_enough_items_and_seeds():
    assert DEFAULT.executor.partition(":")[2] in MODELS and DEFAULT.policy.partition(":")[2] in MODELS
    assert {"untrained", "seed", "sft", "rlao"} <= set(DEFAULT.algos)
    assert DEFAULT.validation_size >= 24 and DEFAULT.test_size >= 100 and DEFAULT.seeds >= 3
    assert DEFAULT.iterations >= 5, "four updates have an effect that is measured"


def test_all_options_are_known():
    assert from_fields(EvaluationLimits(), ENVIRONMENT["limits"], "limits").item_caps.calls
    executor = {k: v for k, v in ENVIRONMENT["executor_config"].items() if k != "cache_folder"}
    assert from_fields(LocalConfig(), executor, "executor config").reply_tokens < 1000
    assert from_fields(HFConfig(), POLICY, "policy").lora_rank


def test_the_set_up_for_a_gpu_is_valid():
    path = Path(weak_for_strong.__file__).parent / "configs" / "weak-for-strong-7b.yaml"
    config = completed(read_config(WeakForStrongConfig, path))
    assert from_fields(HFConfig(), config.policy_options, "policy").sampler.startswith("http")
    for cell in weak_for_strong.cells(config):
        cell.designer.check_options(config.options_of(cell.algo), cell.algo)
    assert config.env_options["requests"] and config.seeds >= 3


def test_options_of_the_command_line_add_to_those_of_the_experiment():
    config = completed(replace(DEFAULT, env_options={"racing": {}}, policy_options={"threads": 1}))
    assert (config.env_options["racing"], config.env_options["requests"]) == ({}, True)
    assert (config.policy_options["threads"], config.policy_options["reply_form"]) == (1, "code")
    assert completed(completed(config)) == completed(config), "a run that goes on is completed again"


@pytest.mark.parametrize(("last", "better"), [(0.2, 0.6), (0.4, 0.75), (0.0, 0.4)])
def test_racing_seldom_gives_up_a_clearly_better_workflow(run_race, last, better):
    """Few items, as here, are not what the library's rule was simulated with."""
    rule = from_fields(RacingRule(), ENVIRONMENT["racing"], "racing")
    lost = 0
    for seed in range(200):
        random = Random(seed)
        scores = {p: [float(random.random() < p) for _ in range(DEFAULT.validation_size)] for p in (last, better)}
        seeds = [[float(random.random() < 0.2) for _ in range(DEFAULT.validation_size)] for _ in range(3)]
        _, survived = run_race(Race(scores[last], [*seeds, scores[last]], rule), scores[better])
        lost += sum(scores[better]) > sum(scores[last]) and not survived
    assert lost / 200 <= 0.05


@pytest.mark.long
@pytest.mark.filterwarnings("ignore")
def test_the_experiment_runs_and_goes_on_after_it_was_ended(random_llm, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(weak_for_strong, "POLICY", {**POLICY, "texts": None, "max_new_tokens": 40})
    environment = {**ENVIRONMENT, "executor_config": {}}
    monkeypatch.setattr(weak_for_strong, "ENVIRONMENT", environment)
    config = completed(
        WeakForStrongConfig(
            env="W4S-ChainSum-v0",
            executor="sim:gpt-3.5-turbo",
            alone="sim:gpt-4o-mini",
            policy=f"hf:{random_llm}",
            algos=("untrained", "seed", "direct", "rlao", "cot_sc"),
            algo_options={"cot_sc": {"form": "text"}, "rlao": weak_for_strong.LEARNING},
            seeds=1, iterations=2, candidates=2, turns=1, design_turns=1, design_episodes=0, curve_turns=0,
            validation_size=4, test_size=4, workers=0, run_dir=tmp_path / "run", budget=500,
        )
    )  # fmt: skip
    assert WEAK_FOR_STRONG.run(config) == 0
    tables = "".join((tmp_path / "run" / name).read_text() for name in ("learning.md", "found.md"))
    for line in ("| untrained | 1 | 2 |", "| RLAO | 2 | 2 |", "the meta-agent's model asked directly", "simulated"):
        assert line in tables
    folder = RunFolder.open(tmp_path / "run")
    cells = folder.records("cell")
    assert [(c["variant"], c["algo"]) for c in cells if c["algo"] == "direct"] == [("", "direct"), ("alone", "direct")]
    assert "design" not in cells[0]["result"]
    capsys.readouterr()
    assert WEAK_FOR_STRONG.run(replace(config, resume=True)) == 0
    assert len(folder.records("cell")) == len(cells), "finished cells are kept"
    assert (tmp_path / "run" / "found.md").read_text() in tables


def test_the_smallest_size_has_one_designer_and_two_updates():
    config = completed(replace(DEFAULT, smoke=True))
    assert (config.algos, config.iterations, config.validation_size) == (("rlao",), 2, 8)
    assert len(weak_for_strong.cells(config)) == 1
