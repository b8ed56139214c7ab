from dataclasses import replace
from random import Random

import pytest
import real_learning

from w4s_gym.evaluation import EvaluationLimits
from w4s_gym.executors.local import LocalConfig
from w4s_gym.options import from_fields
from w4s_gym.racing import Race, RacingRule
from w4s_gym.study.config import CompareConfig


def test_the_defaults_ask_a_real_model_on_enough_items_and_seeds():
    config = real_learning.DEFAULT
    assert config.executor.startswith("local:") and {"seed", "sft", "rlao"} <= set(config.algos)
    assert config.validation_size >= 40 and config.seeds >= 3 and config.iterations >= 3


def test_all_meta_agents_play_the_same_episodes():
    config = real_learning.DEFAULT
    assert len({config.algo_options[algo]["episodes"] for algo in config.algos if algo != "seed"}) == 1


def test_the_options_of_the_environment_are_known_and_the_cache_is_shared():
    options = real_learning.with_environment(real_learning.DEFAULT).environment_options(responses=None)
    assert from_fields(EvaluationLimits(), options["limits"], "limits").item_caps.calls == 3
    executor = dict(options["executor_config"])
    assert executor.pop("cache_folder")
    assert from_fields(LocalConfig(), executor, "executor config").reply_tokens == 32


@pytest.mark.parametrize(("last", "better"), [(0.0, 0.3), (0.0, 0.85), (0.03, 0.3), (0.03, 0.85)])
def test_racing_seldom_gives_up_a_clearly_better_workflow(run_race, last, better):
    """Few items and poor workflows only, as here, are not what the library's rule was simulated with."""
    rule = from_fields(RacingRule(), real_learning.ENVIRONMENT["racing"], "racing")
    items = real_learning.DEFAULT.validation_size
    lost = 0
    for seed in range(200):
        random = Random(seed)
        scores = {p: [float(random.random() < p) for _ in range(items)] for p in (last, better)}
        seeds = [[float(random.random() < 0.03) for _ in range(items)] for _ in range(4)]
        race = Race(scores[last], [*seeds, scores[last]], rule)
        _, survived = run_race(race, scores[better])
        lost += sum(scores[better]) > sum(scores[last]) and not survived
    assert lost / 200 <= 0.05


def test_options_of_the_command_line_add_to_those_of_the_experiment():
    config = replace(real_learning.DEFAULT, env_options={"style": "story", "racing": {}})
    options = real_learning.with_environment(config).environment_options()
    assert options["style"] == "story"
    assert options["racing"] == {}
    assert options["reward"] == {"kind": "gain"}


def test_only_the_untrained_meta_agent_stops_after_one_iteration_and_seeds_stand_next_to_each_other():
    cells = real_learning.cells(CompareConfig(algos=("untrained", "rlao"), seeds=2))
    assert [(cell.algo, cell.seed, cell.config.iterations) for cell in cells] == [
        ("untrained", 0, 1),
        ("untrained", 1, 1),
        ("rlao", 0, 0),
        ("rlao", 1, 0),
    ]
