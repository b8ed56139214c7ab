"""Defaults with room to gain, and a warning where a seed workflow leaves none."""

import warnings

import gymnasium as gym
import pytest

import w4s_gym  # noqa: F401  (registers the environments)
from w4s_gym.commands.train import TrainConfig
from w4s_gym.parts import DEFAULT_EXECUTOR
from w4s_gym.room import ROOM, NoRoomWarning
from w4s_gym.study.config import CompareConfig


def best_seed(name, **options):
    env = gym.make(name, disable_env_checker=True, validation_size=48, test_size=2, **options).unwrapped
    try:
        env.reset(seed=0)
        return max(evaluation.accuracy for evaluation in env.seed_evaluations.values())
    finally:
        env.close()


@pytest.mark.parametrize("name", ["W4S-GSMSymbolic-v0", "W4S-ChainSum-v0"])
def test_environments_leave_room_by_default(name):
    with warnings.catch_warnings():
        warnings.simplefilter("error", NoRoomWarning)
        assert best_seed(name) < ROOM - 0.05


def test_commands_have_the_default_of_the_environments():
    assert CompareConfig().executor == TrainConfig().executor == DEFAULT_EXECUTOR


def test_a_seed_workflow_that_leaves_no_room_is_told():
    with pytest.warns(NoRoomWarning, match=r"already scores (0\.9|1\.0)\d+ \(simulated\) on validation"):
        assert best_seed("W4S-ChainSum-v0", executor="sim:gpt-4o-mini") >= ROOM


def test_nothing_is_told_where_cheaper_workflows_earn_rewards():
    with warnings.catch_warnings():
        warnings.simplefilter("error", NoRoomWarning)
        best_seed("W4S-ChainSum-v0", executor="sim:gpt-4o-mini", reward={"token_price": 1e-4})
