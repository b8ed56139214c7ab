import json
from dataclasses import replace

import pytest

from w4s_gym.action import format_action
from w4s_gym.racing import Saving
from w4s_gym.study.cells import Cell
from w4s_gym.study.config import CompareConfig
from w4s_gym.study.environment import make_environment

FAILS = format_action("Nothing.", 'def solver(agent, task):\n    return {"answer": "no number"}\n')


@pytest.mark.parametrize(
    ("env_options", "racing", "run"),
    [
        ({"racing": {"look_every": 4, "limit": 0.4}}, True, 4),  # the rule of the options
        ({}, True, 16),  # the default rule
        ({"racing": {"look_every": 4, "limit": 0.4}}, False, 0),  # an evaluation is never raced
    ],
)
def test_racing_takes_its_rule_from_the_options_and_only_while_training(env_options, racing, run):
    config = CompareConfig(validation_size=40, test_size=10, env_options=env_options)
    env = make_environment(config, "compact", 1, racing=racing)
    try:
        env.reset(seed=0)
        env.evaluate_candidates([FAILS])
        assert env.saving == (Saving(40, run, 1, 1) if racing else Saving(0, 0, 0, 0))
    finally:
        env.close()


def test_all_seeds_are_tested_on_one_draw_and_with_one_draw_each_validates_on_another(tmp_path):
    config = CompareConfig(
        env="W4S-ChainSum-v0", budget=200, iterations=3, turns=1, candidates=2, validation_size=4, test_size=4,
        design_episodes=1, design_turns=1, curve_turns=0,
    )  # fmt: skip

    def draws(algo, seed, **options):
        cell = Cell(replace(config, **options), algo, seed, variant=str(options))
        cell.run(tmp_path, lambda notice: None)
        records = [json.loads(line) for file in cell.folder(tmp_path).glob("*.jsonl") for line in file.open()]
        drawn = [(r["part"], r["draw"]) for r in records if r["kind"] == "evaluation"]
        (test,) = {draw for part, draw in drawn if part == "test"}
        return {draw for part, draw in drawn if part == "validation"} - {test}, test

    (one, test), (many, same) = draws("untrained", 0, one_draw=True), draws("untrained", 0)
    assert len(one) == 1 < len(many)
    assert draws("seed", 0, one_draw=True) == (one, test)
    another, again = draws("untrained", 1, one_draw=True)
    assert another != one
    assert again == test == same
    assert draws("seed", 0, one_draw=True, env_options={"draw": 7})[0] == {7}, "the explicit one"
