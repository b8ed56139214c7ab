"""A search that branches: an episode comes back to a moment of its own, exactly, here or in another process."""

import copy
import pickle
import subprocess
import sys

import gymnasium as gym
import pytest

from w4s_gym.env import WorkflowDesignEnv
from w4s_gym.errors import ConfigError, ProtocolError

BROKEN = "Try.\n\n```python\ndef solver(agent, task):\n    return undefined_name\n```"
SMALL = {"validation_size": 16, "test_size": 8, "max_turns": 4}


def play(env: WorkflowDesignEnv, actions: list[str]) -> list[tuple]:
    return [env.step(action) for action in actions]


@pytest.mark.parametrize("options", [{}, {"racing": {"look_every": 2, "archive": 1}}, {"feedback_items": 8}])
def test_the_same_actions_earn_the_same_after_another_branch(toy_env, right_in, options):
    env = toy_env(max_turns=6, **options)
    env.reset(seed=3)
    play(env, [right_in(6)])
    here = env.save_state()
    branch = [right_in(8), BROKEN, right_in(4), right_in(9)]
    first = play(env, branch)
    env.load_state(here)
    play(env, [right_in(9), right_in(9)])
    env.load_state(here)
    again = play(env, branch)
    assert again == first
    assert [step[1] for step in first] == [1.0, 0.0, 0.0, 1.0]


def test_races_end_where_they_ended_before(toy_env, right_in):
    """A race depends on what was measured before it: whole results of another branch must not replace its estimate."""
    env = toy_env(racing={"look_every": 2})
    env.reset(seed=3)
    env.step(right_in(8))
    here, poor = env.save_state(), right_in(4)
    first = env.evaluate_candidates([poor, right_in(9)])
    assert first[0].evaluation.estimate is not None
    env.load_state(here)
    env.evaluate_workflow(first[0].workflow)
    assert env.evaluate_candidates([poor])[0].evaluation.estimate is None
    env.load_state(here)
    assert env.evaluate_candidates([poor, right_in(9)]) == first


def test_what_a_branch_measured_is_not_asked_again_and_stays_on_the_ledger(toy_env, right_in, scripted):
    env = toy_env()
    env.reset(seed=3)
    here = env.save_state()
    env.step(right_in(8))
    asked, paid = len(scripted.requests), env.ledger.usage.dollars
    env.load_state(here)
    *_, info = env.step(right_in(8))
    assert len(scripted.requests) == asked and env.ledger.usage.dollars == paid
    assert env.ledger.usage.cached_calls > 0
    assert info["usage"]["calls"] == here.usage.calls + info["evaluation"]["usage"]["calls"]


def test_a_state_that_waits_for_a_repair_and_one_that_is_over_come_back(toy_env, right_in):
    env = toy_env(max_turns=1)
    env.reset(seed=3)
    waiting_view = env.step(BROKEN)[0]
    waiting = env.save_state()
    fixed = env.step(right_in(8))
    over = env.save_state()
    observation, info = env.load_state(waiting)
    assert observation == waiting_view and info["state"]["needs_repair"]
    assert env.step(right_in(8)) == fixed
    env.load_state(over)
    with pytest.raises(ProtocolError, match="over"):
        env.step(right_in(8))


def test_another_process_goes_on_as_this_one_does(tmp_path):
    env = WorkflowDesignEnv("GSMSymbolic", **SMALL)
    env.reset(seed=5)
    env.action_space.seed(1)
    actions = [env.action_space.sample() for _ in range(3)]
    env.step(actions[0])
    (tmp_path / "saved").write_bytes(pickle.dumps((env.save_state(), actions)))
    here = [(obs, reward) for obs, reward, *_ in play(env, actions[1:])]
    env.close()
    program = (
        "import pickle, sys, gymnasium as gym, w4s_gym\n"
        f"env = gym.make('W4S-GSMSymbolic-v0', **{SMALL!r}).unwrapped\n"
        f"saved, actions = pickle.load(open({str(tmp_path / 'saved')!r}, 'rb'))\n"
        "env.load_state(saved)\n"
        "sys.stdout.buffer.write(pickle.dumps([env.step(action)[:2] for action in actions[1:]]))\n"
        "env.close()\n"
    )
    there = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True, cwd=tmp_path).stdout
    assert pickle.loads(there) == here


def test_a_state_of_another_environment_is_refused_with_what_differs(toy_env):
    env, other = toy_env(max_turns=3), toy_env(max_turns=5)
    env.reset(seed=0)
    with pytest.raises(ConfigError, match="max_turns: 3 then, 5 here"):
        other.load_state(env.save_state())
    with pytest.raises(ConfigError, match="save_state"):
        other.load_state({"turn": 1})
    with pytest.raises(ProtocolError, match="reset"):
        other.save_state()


@pytest.mark.parametrize("way", [copy.deepcopy, lambda saved: pickle.loads(pickle.dumps(saved))])
def test_a_copy_of_a_state_is_as_good_and_later_steps_do_not_change_it(toy_env, right_in, way):
    env = toy_env()
    env.reset(seed=0)
    saved = env.save_state()
    before = pickle.dumps(saved)
    first = env.step(right_in(8))
    assert pickle.dumps(saved) == before
    env.load_state(way(saved))
    assert env.step(right_in(8)) == first


def test_fresh_environments_can_be_copied_through_their_wrappers():
    env = gym.make("W4S-GSMSymbolic-v0", render_mode="ansi", **SMALL)
    twin = pickle.loads(pickle.dumps(copy.deepcopy(env)))
    assert twin.reset(seed=1)[0] == env.reset(seed=1)[0]
    assert twin.render() == env.render() and "seed" in env.render()
    with pytest.raises(TypeError, match=r"save_state\(\)"):
        copy.deepcopy(env)
    for one in (env, twin):
        one.close()
