"""What a confined child does: read one job, run it, send one result."""

from __future__ import annotations

import ast
import gc
import inspect
import io
import linecache
import os
import random
import signal
import sys
import threading
import types
from collections.abc import Callable
from typing import Any

from . import frames, peer, probes
from .agent import Agent, CallFailed, Channel
from .plain import plain
from .tracebacks import FILENAME, CandidateError, failing_line

_MEMORY_FRAME = frames.pack(frames.RESULT, {"status": "memory", "error": {"kind": "MemoryError", "message": ""}})


class TimeLimit(BaseException):
    """Raised in the main thread when a limit is near; the process is killed soon after."""

    def __init__(self, status: str, message: str) -> None:
        """Keep the status that the run will get."""
        super().__init__(message)
        self.status = status


class NoAnswer(Exception):
    """`solver` came back without an answer."""


class Tail(io.TextIOBase):
    """Keeps the end of what is printed."""

    def __init__(self, limit: int) -> None:
        """Keep about `limit` characters."""
        self._limit = limit
        self._parts: list[str] = []
        self._size = 0

    def writable(self) -> bool:
        """Return True."""
        return True

    def write(self, text: str) -> int:
        """Append text; forget what came long before."""
        if type(text) is not str:
            raise TypeError(f"write() argument must be str, not {type(text).__name__}")
        self._parts.append(text[-self._limit :])
        self._size += len(self._parts[-1])
        if self._size > 4 * self._limit or len(self._parts) > 1000:
            self._parts = [self.text()]
            self._size = len(self._parts[0])
        return len(text)

    def text(self) -> str:
        """Return the last `limit` characters."""
        return "".join(self._parts)[-self._limit :]


def prepare(cpu_seconds: float) -> None:
    """Do what cannot be done any more once the system call filter is on: limits that name the failing line."""

    def out_of_cpu(signum: int, frame: Any) -> None:
        raise TimeLimit("timeout_cpu", f"used {cpu_seconds:g} s of CPU time")

    def out_of_time(signum: int, frame: Any) -> None:
        raise TimeLimit("timeout_wall", "the time limit was reached")

    signal.signal(signal.SIGPROF, out_of_cpu)
    signal.signal(signal.SIGUSR1, out_of_time)
    signal.setitimer(signal.ITIMER_PROF, cpu_seconds, 0.05)
    threading.stack_size(512 * 1024)


def serve(fd: int) -> None:
    """Run the job that arrives on `fd`; never returns."""
    try:
        _, job = frames.read_frame(fd)
    except (EOFError, OSError):
        os._exit(0)
    output = Tail(max(1, job["output_bytes"]))
    sys.stdout = sys.stderr = output
    sys.stdin = io.StringIO()
    _seed(job["seed"], job["source"])
    write, leave = frames.write_all, os._exit
    try:
        try:
            try:
                frame = frames.pack(frames.RESULT, {"value": _MODES[job["mode"]](job, fd), "output": output.text()})
                if len(frame) > job["result_bytes"]:
                    raise ValueError(f"the result has {len(frame)} bytes, at most {job['result_bytes']} are allowed")
            except BaseException as error:
                signal.signal(signal.SIGPROF, signal.SIG_IGN)
                frame = _error_frame(error, output)
        except BaseException as second:  # memory or time ran out while the first error was described
            signal.signal(signal.SIGPROF, signal.SIG_IGN)
            frame = _error_frame(second, output)
        write(fd, frame)
    finally:
        leave(0)


def _seed(seed: int, source: str) -> None:
    random.seed(seed)
    numpy_random = sys.modules.get("numpy.random")
    if numpy_random is not None and "numpy" in source:
        numpy_random.seed(seed % 2**32)


def _error_frame(error: BaseException, output: Tail) -> bytes:
    """Describe an exception; falls back to a frame made beforehand when memory has run out."""
    if isinstance(error, MemoryError):
        line = failing_line(error)
        error.__traceback__ = error.__context__ = error.__cause__ = None
        gc.collect()
        try:
            report = {"kind": "MemoryError", "message": "the memory limit was reached", "line": line}
            return frames.pack(frames.RESULT, {"status": "memory", "error": report, "output": output.text()})
        except MemoryError:
            return _MEMORY_FRAME
    status = "error"
    if isinstance(error, TimeLimit):
        status = error.status
    elif isinstance(error, NoAnswer):
        status = "no_result"
    try:
        message = str(error)
    except BaseException as second:
        message = f"(its text cannot be made: {type(second).__name__})"
    report = {"kind": type(error).__name__, "message": message[:500], "line": failing_line(error)}
    body: dict[str, Any] = {"status": status, "error": report, "output": output.text()}
    if isinstance(error, CallFailed):
        body["call"] = error.call_id
    if isinstance(error, CandidateError):
        body["in_candidate"] = error.line is not None
    return frames.pack(frames.RESULT, body)


def _load(source: str, name: str, last_value: bool = False) -> tuple[dict[str, Any], Any]:
    """Execute a module; return its names, and the value of its last line when asked for."""
    linecache.cache[FILENAME] = (len(source), None, source.splitlines(True), FILENAME)
    module = types.ModuleType(name)
    sys.modules[name] = module
    namespace = module.__dict__
    if not last_value:
        exec(compile(source, FILENAME, "exec", dont_inherit=True), namespace)
        return namespace, None
    tree = ast.parse(source, FILENAME)
    result: ast.expr | None = None
    if tree.body:
        last = tree.body[-1]
        if isinstance(last, ast.Expr):
            tree.body.pop()
            result = last.value
        elif isinstance(last, ast.Assign) and isinstance(last.targets[0], ast.Name):
            result = ast.copy_location(ast.Name(last.targets[0].id, ast.Load()), last)
        elif isinstance(last, (ast.AugAssign, ast.AnnAssign)) and isinstance(last.target, ast.Name):
            result = ast.copy_location(ast.Name(last.target.id, ast.Load()), last)
    exec(compile(tree, FILENAME, "exec", dont_inherit=True), namespace)
    if result is None:
        return namespace, None
    return namespace, eval(compile(ast.Expression(result), FILENAME, "eval", dont_inherit=True), namespace)


def _solver(namespace: dict[str, Any]) -> Callable[..., Any]:
    solver = namespace.get("solver")
    if not callable(solver):
        raise NameError("the workflow does not define a function `solver(agent, task)`")
    return solver


def _positional(function: Callable[..., Any]) -> int:
    """Return how many positional arguments a function takes (99 for *args)."""
    count = 0
    for p in inspect.signature(function).parameters.values():
        if p.kind == p.VAR_POSITIONAL:
            return 99
        count += p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)
    return count


def _takes_entry_point(solver: Callable[..., Any]) -> bool:
    parameters = inspect.signature(solver).parameters
    return _positional(solver) >= 3 or "entry_point" in parameters


def _run_workflow(job: dict[str, Any], fd: int) -> Any:
    namespace, _ = _load(job["source"], "workflow")
    solver = _solver(namespace)
    agent = Agent(Channel(fd))
    arguments: dict[str, Any] = {}
    positional = [agent, job["task"]]
    if job["entry_point"] is not None and _takes_entry_point(solver):
        if "entry_point" in inspect.signature(solver).parameters:
            arguments["entry_point"] = job["entry_point"]
        else:
            positional.append(job["entry_point"])
    value = solver(*positional, **arguments)
    if not isinstance(value, dict) or "answer" not in value:
        got = f"a dict without it: keys {list(value)[:10]}" if isinstance(value, dict) else type(value).__name__
        raise NoAnswer(f"solver must return a dict with the key 'answer', got {got}")
    return plain(value)


def _check_workflow(job: dict[str, Any], fd: int) -> Any:
    namespace, _ = _load(job["source"], "workflow")
    solver = _solver(namespace)
    if _positional(solver) < 2:
        raise TypeError("solver must take two positional arguments: solver(agent, task)")
    return None


def _run_program(job: dict[str, Any], fd: int) -> Any:
    namespace, value = _load(job["source"], "__main__", last_value=True)
    if callable(namespace.get("solution")):
        value = namespace["solution"]()
    return plain(value)


def _run_candidate(job: dict[str, Any], fd: int) -> Any:
    namespace, _ = _load(job["source"], "candidate")
    peer.serve_candidate(fd, namespace, job["entry_point"])
    return None


def _run_tester(job: dict[str, Any], fd: int) -> Any:
    peer.run_tester(fd, job["entry_point"], job["setup"], job["source"], FILENAME)
    return None


def _run_probe(job: dict[str, Any], fd: int) -> Any:
    return probes.attack(job["targets"])


_MODES: dict[str, Callable[[dict[str, Any], int], Any]] = {
    "workflow": _run_workflow,
    "check": _check_workflow,
    "program": _run_program,
    "candidate": _run_candidate,
    "tester": _run_tester,
    "probe": _run_probe,
}
