"""Measuring under limits: every phase ends by the deadline, and what a workflow has run is counted."""

import pytest

ACTION = "Try.\n\n```python\n{}```"
SLEEPER = "import time\ndef solver(agent, task):\n    time.sleep(600)\n"
SLEEPER_AT_IMPORT = "import time\ntime.sleep(600)\ndef solver(agent, task):\n    return {'answer': 'x'}\n"
SLEEPING_PROGRAMS = """
def solver(agent, task):
    while True:
        try:
            agent.execute_code("import time; time.sleep(600)", timeout=600)
        except Exception:
            pass
"""
PROGRAMS = """
def solver(agent, task):
    return {"answer": str([agent.execute_code("1") for _ in range(3)])}
"""
CALLER = """
def solver(agent, task):
    while True:
        try:
            agent.call_llm(messages=[{"role": "user", "content": task}])
        except Exception:
            pass
"""


@pytest.mark.parametrize("source", [SLEEPER, SLEEPER_AT_IMPORT, SLEEPING_PROGRAMS])
def test_the_self_test_ends_by_the_deadline(toy_env, source):
    limits = {"run": {"wall_seconds": 300.0}, "program": {"wall_seconds": 300.0}, "deadline_seconds": 2.0}
    env = toy_env(limits=limits, max_repairs=0)
    env.reset(seed=0)
    _, reward, _, truncated, info = env.step(ACTION.format(source))
    assert not truncated and reward == 0.0
    assert "self-test did not end within 2 s" in info["evaluation"]["error"]
    assert not any(zygote.active for zygote in env.sandbox._zygotes)


def test_programs_of_a_workflow_end_with_its_wall_limit(toy_env):
    env = toy_env(limits={"run": {"wall_seconds": 1.0}, "program": {"wall_seconds": 0.6}}, max_repairs=0)
    env.reset(seed=0)
    _, reward, _, _, info = env.step(ACTION.format(SLEEPING_PROGRAMS))
    assert reward == 0.0 and "timeout_wall" in info["evaluation"]["error"]


def test_programs_are_counted(toy_env):
    env = toy_env()
    env.reset(seed=0)
    before = env.ledger.usage.programs
    env.step(ACTION.format(PROGRAMS))
    assert env.ledger.usage.programs - before == 3 * 16


def test_a_workflow_that_never_stops_calling_ends_as_budget(toy_env, scripted):
    env = toy_env(limits={"item_caps": {"calls": 5}})
    env.reset(seed=0)
    asked = len(scripted.requests)
    _, _, _, _, info = env.step(ACTION.format(CALLER))
    assert info["evaluation"]["statuses"]["budget"] == 16
    assert len(scripted.requests) - asked == 5 * 16
