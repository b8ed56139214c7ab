"""Hostile workflows are contained at every level, and the host works on after each of them."""

from __future__ import annotations

import asyncio
import os
import re
from pathlib import Path
from typing import Any, get_args

import pytest

from tests.sandbox.attacks import TOPICS, attacks
from tests.sandbox.ordinary_user import NOT_TWICE, pytest_as_user
from w4s_gym.sandbox import Limits, RunOutcome, Sandbox, Status

LIMITS = Limits(cpu_seconds=0.3, wall_seconds=2.5, absolute_seconds=15.0, memory_mb=256, result_bytes=64_000)
FINE = (
    "def solver(agent, task):\n    return {'answer': agent.call_llm(messages=[{'role': 'user', 'content': task}])[0]}\n"
)


def test_there_are_enough_attacks() -> None:
    assert sum(len(attacks(topic)) for topic in TOPICS) >= 140
    for topic in TOPICS:
        for name, statuses, _ in attacks(topic):
            assert set(statuses) <= set(get_args(Status)), name


def complaints(outcome: RunOutcome, allowed: list[str], host: Any) -> list[str]:
    """Return what is wrong with the outcome of an attack."""
    found = []
    if outcome.status == "infrastructure" or (allowed and outcome.status not in allowed):
        found.append(f"ended as {outcome.status}, expected {allowed or 'anything but infrastructure'}")
    seen = f"{outcome.value} {outcome.error} {outcome.output}"
    if isinstance(outcome.value, dict) and str(outcome.value.get("answer")).startswith("ESCAPED"):
        found.append("escaped")
    for what, secret in (("key", host.environment_secret), ("file", host.file_secret), ("gold", host.gold)):
        if secret in seen:
            found.append(f"saw the {what}")
    if outcome.status != "ok" and (outcome.error is None or len(outcome.error.message) > 500):
        found.append("has no error report, or too long a one")
    try:
        seen.encode()
    except UnicodeEncodeError:
        found.append("holds text that cannot be encoded")
    return found


@pytest.mark.parametrize("topic", TOPICS)
def test_hostile_workflows_are_contained(levelled: Sandbox, topic: str, host: Any, processes: Any) -> None:
    if topic == "resources" and levelled.report().level == "L2":
        pytest.skip("resource limits are the same as at L1")
    before = processes(levelled)

    async def attack(name: str, allowed: list[str], body: str) -> list[str]:
        source = f"TARGETS = {host.targets!r}\n{body}"
        found = []
        for _ in range(2 if topic == "persistence" else 1):
            outcome = await levelled.run_workflow(source, "a task", handler=host.handler, limits=LIMITS)
            found += [f"{name}: {c} ({outcome})"[:600] for c in complaints(outcome, allowed, host)]
        after = await levelled.run_workflow(FINE, "a task", handler=host.handler)
        if after.status != "ok" or after.value != {"answer": "reply"}:
            found.append(f"{name}: the next workflow ended with {after}")
        return found

    async def attack_all() -> list[str]:
        results = await asyncio.gather(*(attack(*a) for a in attacks(topic)))
        return [complaint for result in results for complaint in result]

    found = asyncio.run(attack_all()) + host.harm()
    assert not found, "\n".join(found)
    assert not any("AFTER_RESULT" in call for call in host.calls)
    assert processes(levelled) == before, "processes were left, or the zygote was replaced"


def test_random_state_does_not_persist(sandbox: Sandbox, host: Any) -> None:
    source = "import random\ndef solver(agent, task):\n    return {'answer': random.random()}\n"

    async def draw() -> list[Any]:
        return [(await sandbox.run_workflow(source, "t", handler=host.handler, seed=s)).value for s in (1, 1, 2)]

    first, second, other = asyncio.run(draw())
    assert first == second != other


@pytest.mark.long
@pytest.mark.skipif(os.geteuid() != 0, reason="the other tests already run as an ordinary user")
def test_hostile_workflows_as_an_ordinary_user() -> None:
    """Run the tests above, and those of rivals, as an ordinary user."""
    done = pytest_as_user("-q", "tests/sandbox/test_hostile.py", "tests/sandbox/test_rivals.py", "-k", NOT_TWICE)
    passed = re.search(r"(\d+) passed", done.stdout)
    assert done.returncode == 0 and passed and int(passed[1]) >= len(TOPICS), done.stdout[-3000:] + done.stderr[-1000:]


def test_the_page_about_threats_shows_the_present_attacks() -> None:
    """`python -m tests.sandbox.threats_table` runs all of them at every level and writes the table."""
    page = (Path(__file__).parents[2] / "docs" / "threats.md").read_text()
    for topic in TOPICS:
        count = len(attacks(topic))
        assert re.search(rf"^\| {topic} .*\| {count} of {count} \|", page, re.MULTILINE), (
            f"write the table again: {topic}"
        )
