import pytest

from w4s_gym.action import format_action
from w4s_gym.racing import Saving
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
