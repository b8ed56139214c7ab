"""An open environment in forks of its process: each side goes on with processes of its own."""

from __future__ import annotations

import multiprocessing
import os
import pickle

import pytest

from w4s_gym.env import WorkflowDesignEnv
from w4s_gym.workflows import hand_made_workflow

COT = hand_made_workflow("CoT", "number")
VOTE = hand_made_workflow("CoT-SC", "number")


@pytest.fixture
def env():
    env = WorkflowDesignEnv("GSMSymbolic", validation_size=6, test_size=6)
    env.reset(seed=0)
    yield env
    env.close()


def measure(env: WorkflowDesignEnv, draw: int) -> tuple[float, dict[str, int]]:
    evaluation = env.evaluate_workflow(VOTE, draw)
    return evaluation.accuracy, evaluation.statuses


def in_fork(work) -> object:
    """Return what a function returns in a fork."""
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.write(writer, pickle.dumps(work()))
        except BaseException as error:
            os.write(writer, pickle.dumps(repr(error)))
        finally:
            os._exit(0)
    os.close(writer)
    with os.fdopen(reader, "rb") as pipe:
        found = pickle.loads(pipe.read())
    os.waitpid(pid, 0)
    return found


def test_both_sides_of_a_fork_measure_the_same(env):
    there = in_fork(lambda: measure(env, 1))
    here = measure(env, 1)
    assert there == here and here[1] == {"ok": 6}


def test_closing_in_a_fork_leaves_the_other_side_alone(env):
    def close() -> str:
        measure(env, 2)
        env.close()
        return "closed"

    assert in_fork(close) == "closed"
    assert measure(env, 3)[1] == {"ok": 6}


def test_a_fork_of_a_fork_works_too(env):
    assert in_fork(lambda: in_fork(lambda: measure(env, 1))) == measure(env, 1)


_shared: WorkflowDesignEnv


def _work(draw: int) -> tuple[float, dict[str, int]]:
    return measure(_shared, draw)


def test_a_pool_of_forks_steps_an_open_environment(env):
    global _shared
    _shared = env
    with multiprocessing.get_context("fork").Pool(2) as pool:
        found = pool.map_async(_work, [1, 2, 3]).get(timeout=120)
    assert found == [measure(env, draw) for draw in (1, 2, 3)]
