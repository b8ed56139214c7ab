"""Runs independent jobs, a few at once, with live progress; a Ctrl-C or a crash loses only unfinished jobs.

Where they run is a `Crew`: processes of this machine (`processes.py`) or of a cluster (`on_ray.py`).
"""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

from w4s_gym.study.notices import Notice, Notify


@dataclass(frozen=True)
class Job:
    """Work for one process."""

    name: str
    work: Callable[[Notify], dict[str, Any]]
    """Can be pickled, and returns plain JSON data; it tells the function that it is given how far it is."""


@dataclass(frozen=True)
class Failure:
    """Why a job has no result."""

    kind: str
    """Name of the exception; `PROCESS_DIED` if the process ended without one."""
    message: str
    trace: str


PROCESS_DIED = "ProcessDied"

Message = Notice | dict[str, Any] | Failure
"""What a running job tells: how far it is, or its end."""
Finished = Callable[[Job, dict[str, Any] | Failure], None]
Progress = Callable[[str, Notice], None]
"""Told about a running job: its name, and what it tells."""


class Crew(Protocol):
    """Processes that run jobs. A process that dies ends its job with a `PROCESS_DIED` failure."""

    attempts: int
    """How often a job is started whose process dies."""

    def start(self, job: Job) -> None:
        """Have a process run a job."""

    def wait(self) -> Iterable[tuple[Job, Message]]:
        """Wait until at least one running job has told something."""
        ...

    def close(self) -> None:
        """End all processes, and with them what they started."""


def run_jobs(
    jobs: Sequence[Job], workers: int, finished: Finished, progress: Progress, make_crew: Callable[[], Crew]
) -> None:
    """Run jobs, in order, as processes become free.

    Args:
        jobs: the work.
        workers: number of jobs that run at once; 0 runs them one after the other in this process.
        finished: called in this process with each job's result or failure, as it ends.
        progress: called in this process with what running jobs tell.
        make_crew: makes what runs them.

    Raises:
        KeyboardInterrupt: Ctrl-C; all processes are ended before it is passed on.
    """
    if workers == 0:
        for job in jobs:
            finished(job, attempt(job, partial(progress, job.name)))
        return
    if not jobs:
        return
    waiting, running, started = list(jobs), 0, dict.fromkeys((job.name for job in jobs), 0)
    crew = make_crew()
    try:
        while waiting or running:
            while waiting and running < workers:
                job = waiting.pop(0)
                crew.start(job)
                running += 1
                started[job.name] += 1
            for job, message in crew.wait():
                if isinstance(message, Notice):
                    progress(job.name, message)
                    continue
                running -= 1
                died = isinstance(message, Failure) and message.kind == PROCESS_DIED
                if died and started[job.name] < crew.attempts:
                    waiting.insert(0, job)
                else:
                    finished(job, message)
    finally:
        crew.close()


def attempt(job: Job, notify: Notify) -> dict[str, Any] | Failure:
    """Run a job in this process; its failure is returned, so that it does not end the others."""
    try:
        return job.work(notify)
    except (BrokenPipeError, ConnectionResetError):
        raise
    except Exception as error:
        return Failure(type(error).__name__, str(error), traceback.format_exc())
