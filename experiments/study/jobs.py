"""Runs independent jobs in a few processes, with live progress; a Ctrl-C or a crash loses only unfinished jobs."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import traceback
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from multiprocessing.connection import Connection, wait
from typing import Any

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
    """Name of the exception."""
    message: str
    trace: str


Finished = Callable[[Job, dict[str, Any] | Failure], None]
Progress = Callable[[str, Notice], None]
"""Told about a running job: its name, and what it tells."""


def run_jobs(jobs: Sequence[Job], workers: int, finished: Finished, progress: Progress) -> None:
    """Run jobs, in order, as processes become free.

    Args:
        jobs: the work.
        workers: number of processes; 0 runs the jobs one after the other in this process.
        finished: called in this process with each job's result or failure, as it ends.
        progress: called in this process with what running jobs tell.

    Raises:
        KeyboardInterrupt: Ctrl-C; all processes are ended before it is passed on.
    """
    if workers == 0:
        for job in jobs:
            finished(job, _attempt(job, partial(progress, job.name)))
        return
    waiting = list(jobs)
    running: dict[Connection, tuple[_Worker, Job]] = {}
    idle: list[_Worker] = []
    try:
        while waiting or running:
            while waiting and len(running) < workers:
                worker = idle.pop() if idle else _Worker()
                running[worker.pipe] = (worker, waiting.pop(0))
                worker.pipe.send(running[worker.pipe][1])
            for pipe in wait(list(running)):
                assert isinstance(pipe, Connection)
                worker, job = running[pipe]
                try:
                    message = pipe.recv()
                except EOFError:
                    worker.end()
                    del running[pipe]
                    text = f"its process ended with exit code {worker.process.exitcode} (out of memory?)"
                    finished(job, Failure("ProcessDied", text, ""))
                    continue
                if isinstance(message, Notice):
                    progress(job.name, message)
                    continue
                del running[pipe]
                idle.append(worker)
                finished(job, message)
    finally:
        for worker in idle:
            worker.dismiss()
        for worker, _ in running.values():
            worker.end()


class _Worker:
    """A process that runs one job after the other."""

    def __init__(self) -> None:
        context = multiprocessing.get_context("spawn")
        self.pipe, theirs = context.Pipe()
        self.process = context.Process(target=_serve, args=(theirs,), name="w4s-cell")
        self.process.start()
        theirs.close()

    def dismiss(self) -> None:
        """Let the process end that has nothing to do: it does so when its pipe is closed."""
        self.pipe.close()
        self.process.join(timeout=10)
        if self.process.is_alive():
            self.end()

    def end(self) -> None:
        """End the process; what it started ends with it."""
        self.pipe.close()
        self.process.terminate()
        self.process.join(timeout=10)
        if self.process.is_alive():
            self.process.kill()
            self.process.join()


def _serve(pipe: Connection) -> None:
    """Run jobs until the other side closes the pipe."""
    # Ctrl-C reaches the whole process group: the parent decides what happens.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # SIGTERM must unwind, so that sandboxes are closed.
    signal.signal(signal.SIGTERM, _unwind)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    # One thread a process: the sums of matrix products do not depend on how many processes there are.
    os.environ["OMP_NUM_THREADS"] = os.environ["MKL_NUM_THREADS"] = "1"
    turn = threading.Lock()

    def send(message: object) -> None:
        with turn:  # notices come from two threads
            pipe.send(message)

    def notify(notice: Notice) -> None:
        with suppress(BrokenPipeError, ConnectionResetError):  # the next `recv` finds out
            send(notice)

    while True:
        try:
            job = pipe.recv()
            send(_attempt(job, notify))
        except (EOFError, BrokenPipeError, ConnectionResetError):
            signal.signal(signal.SIGTERM, signal.SIG_IGN)  # nothing is left that has to be unwound
            return  # the parent is gone, or needs this process no more


def _end_with_parent() -> None:
    """End this process when the one that started it was killed: nobody waits for the result."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os.kill(os.getpid(), signal.SIGTERM)


def _unwind(number: int, frame: object) -> None:
    raise SystemExit(1)


def _attempt(job: Job, notify: Notify) -> dict[str, Any] | Failure:
    try:
        return job.work(notify)
    except (BrokenPipeError, ConnectionResetError):
        raise
    except Exception as error:  # one job's failure must not end the others
        return Failure(type(error).__name__, str(error), traceback.format_exc())
