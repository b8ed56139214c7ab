"""Tests against a candidate: two confined children, with the host passing messages between them."""

from __future__ import annotations

import asyncio
import contextlib

from w4s_gym.sandbox.child import Child
from w4s_gym.sandbox.ending import Ending
from w4s_gym.sandbox.slot import Slot
from w4s_gym.sandbox.types import TestJob, TestOutcome
from w4s_gym.sandbox.words import report_error
from w4s_gym.sandbox.zygote_process import ZygoteProcess


class _Relay:
    """Passes messages on, strictly in turns: the candidate greets, then the tester asks and gets one answer each."""

    def __init__(self) -> None:
        self.candidate: Child
        self.tester: Child
        self._turn: Child | None = None

    def begin(self, candidate: Child, tester: Child) -> None:
        self.candidate, self.tester, self._turn = candidate, tester, candidate
        tester.pause_clock()

    def passed(self, sender: Child, message: bytes) -> None:
        if sender is not self._turn:
            sender.end("protocol", "sent a message out of turn")
            return
        receiver = self.tester if sender is self.candidate else self.candidate
        self._turn = receiver
        sender.pause_clock()
        receiver.resume_clock()
        receiver.send_peer(message)


async def run_pair(zygote: ZygoteProcess, job: TestJob, slot: Slot, other: Slot) -> TestOutcome:
    """Run one test job; the candidate's process never holds the tests.

    Args:
        zygote: forks both processes.
        job: what to run.
        slot: right of the candidate to compute, held already.
        other: the tester's, not held yet.
    """
    relay = _Relay()
    candidate = Child(zygote, job.limits, slot=slot, on_peer=relay.passed)
    tester = Child(zygote, job.limits, slot=other, on_peer=relay.passed)
    common = {"entry_point": job.entry_point, "seed": 0}
    candidate.start({"mode": "candidate", "source": job.candidate, **common})
    tester.start({"mode": "tester", "source": job.tests, "setup": job.setup, **common})
    relay.begin(candidate, tester)
    ends = {asyncio.ensure_future(candidate.finish()): candidate, asyncio.ensure_future(tester.finish()): tester}
    try:
        done, _ = await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for child in (candidate, tester):
            child.end("error", "the other process ended")
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.gather(*ends)
    endings = {ends[future]: future.result() for future in ends}
    seconds = sum(ending.wall_seconds for ending in endings.values())
    first = [ends[future] for future in done]
    if tester in first and endings[tester].status == "ok":
        return TestOutcome("ok", wall_seconds=seconds)
    failed = tester if tester in first and candidate not in first else candidate
    return _failure(endings[failed], failed is candidate, job, seconds)


def _failure(ending: Ending, in_candidate: bool, job: TestJob, seconds: float) -> TestOutcome:
    in_candidate = in_candidate or (ending.result or {}).get("in_candidate") is True
    if ending.status == "ok":  # a candidate that says it is done has only left early
        ending = Ending("no_result", detail="the program ended before its tests did")
    return TestOutcome(ending.status, report_error(ending, job.candidate if in_candidate else job.tests), seconds)
