"""Processes of this machine that run jobs."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import suppress
from multiprocessing.connection import Connection, wait

from w4s_gym.study.jobs import PROCESS_DIED, Failure, Job, Message, attempt
from w4s_gym.study.notices import Notice


class Processes:
    """A process for each job that runs at once; they run one job after the other."""

    attempts = 1  # what killed a process here, most likely a lack of memory, would do so again

    def __init__(self) -> None:
        """Start nothing."""
        self._running: dict[Connection, tuple[_Worker, Job]] = {}
        self._idle: list[_Worker] = []

    def start(self, job: Job) -> None:
        """Have a process run a job."""
        worker = self._idle.pop() if self._idle else _Worker()
        self._running[worker.pipe] = (worker, job)
        worker.pipe.send(job)

    def wait(self) -> Iterator[tuple[Job, Message]]:
        """Wait until at least one running job has told something."""
        for pipe in wait(list(self._running)):
            assert isinstance(pipe, Connection)
            worker, job = self._running[pipe]
            try:
                message = pipe.recv()
            except EOFError:
                worker.end()
                del self._running[pipe]
                text = f"its process ended with exit code {worker.process.exitcode} (out of memory?)"
                yield job, Failure(PROCESS_DIED, text, "")
                continue
            if not isinstance(message, Notice):
                del self._running[pipe]
                self._idle.append(worker)
            yield job, message

    def close(self) -> None:
        """End all processes, and with them what they started."""
        for worker in self._idle:
            worker.dismiss()
        for worker, _ in self._running.values():
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
            send(attempt(job, notify))
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
