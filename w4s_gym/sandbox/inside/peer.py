"""Tests call a candidate program that runs in another process, as if its functions were their own.

The tester sends arguments, the candidate sends results, both as plain typed data; expected values stay in the tester.
What is not plain data (an object of the candidate's class, a generator, a function) stays where it is, and the other
side gets a handle whose operations are sent over. Comparison of a handle is by identity only, on the tester's side: a
candidate cannot decide that its object equals the expected value.
"""

from __future__ import annotations

import builtins
import contextlib
import importlib
import json
import types
from collections.abc import Callable, Iterator
from typing import Any

from . import frames, typed
from .tracebacks import CandidateError, failing_line

ALIASES = {"np": "numpy"}
"""Names under which tests may find a module that the candidate imported; others must be the module's own."""

_MAX_HANDLES = 100_000
_encode_json = json.JSONEncoder(allow_nan=False, separators=(",", ":"), check_circular=False).encode


class Remote:
    """Handle of an object in the other process."""

    def __init__(self, peer: Peer, handle: int, label: str) -> None:
        """Refer to the object that the other side numbered `handle`."""
        object.__setattr__(self, "_remote", (peer, handle, label))

    def __repr__(self) -> str:
        return f"<{object.__getattribute__(self, '_remote')[2]} of the other process>"

    def _ask(self, operation: str, *arguments: Any) -> Any:
        peer, handle, _ = object.__getattribute__(self, "_remote")
        return peer.ask(operation, handle, arguments, {})

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return self._ask("attribute", name)

    def __setattr__(self, name: str, value: Any) -> None:
        self._ask("set_attribute", name, value)

    def __iter__(self) -> Iterator[Any]:
        return self._ask("iterate")

    def __len__(self) -> int:
        return self._ask("length")

    def __bool__(self) -> bool:
        return bool(self._ask("truth"))

    def __getitem__(self, key: Any) -> Any:
        return self._ask("item", key)

    def __setitem__(self, key: Any, value: Any) -> None:
        self._ask("set_item", key, value)


class RemoteFunction(Remote):
    """Handle of something that can be called."""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call it over there."""
        peer, handle, _ = object.__getattribute__(self, "_remote")
        return peer.ask("call", handle, args, kwargs)


class RemoteIterator(Remote):
    """Handle of an iterator: elements are fetched one by one."""

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        return self._ask("next")


_KINDS = {"object": Remote, "function": RemoteFunction, "iterator": RemoteIterator}

_OPERATIONS: dict[str, Callable[..., Any]] = {
    "call": lambda target, *args, **kwargs: target(*args, **kwargs),
    "next": lambda target: next(target),
    "iterate": lambda target: iter(target),
    "length": lambda target: len(target),
    "truth": lambda target: bool(target),
    "item": lambda target, key: target[key],
    "set_item": lambda target, key, value: target.__setitem__(key, value),
    "attribute": lambda target, name: getattr(target, name),
    "set_attribute": lambda target, name, value: setattr(target, name, value),
}


class Peer:
    """One end of the conversation: sends operations, and serves those that come while it waits."""

    def __init__(self, fd: int, trusted: bool, owner: str) -> None:
        """Speak over `fd`; a trusted end (the tester) lets the other one do little with its objects.

        Args:
            fd: blocking stream socket to the host, which relays.
            trusted: whether this end holds the tests.
            owner: name of the module whose objects may be inspected from the other side.
        """
        self._fd = fd
        self._trusted = trusted
        self._owner = owner
        self._exports: list[Any] = []
        self.names: dict[str, Any] = {}

    def ask(self, operation: str, target: int | str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Have the other side do an operation on one of its objects (a handle, or a top-level name)."""
        table = typed.Table()
        call = [typed.encode(a, table, self._export) for a in args]
        named = {k: typed.encode(v, table, self._export) for k, v in kwargs.items()}
        self.send({"op": operation, "on": target, "args": call, "kwargs": named})
        while True:
            message = self.receive()
            if "op" in message:
                self._serve(message)
                continue
            for index, data in message.get("changed", ()):
                typed.fill(table.items[index], data, table, self._resolve)
            if "stop" in message:
                if operation != "next":  # it would end a `map` or a `for` of the tests without a word
                    raise RuntimeError("the program raised StopIteration")
                raise StopIteration
            if "error" in message:
                raise _rebuild(message["error"])
            return typed.decode(message["value"], table, self._resolve)

    def serve_forever(self) -> None:
        """Serve operations until the other side is gone."""
        while True:
            self._serve(self.receive())

    def send(self, message: dict[str, Any]) -> None:
        """Send one message to the other side."""
        data = _encode_json(message).encode("ascii")
        if len(data) > frames.MAX_CALL_BYTES:
            raise ValueError(
                f"a value of {len(data)} bytes cannot be passed, at most {frames.MAX_CALL_BYTES} are allowed"
            )
        frames.write_all(self._fd, frames.HEADER.pack(frames.PEER, len(data)) + data)

    def receive(self) -> dict[str, Any]:
        """Wait for one message from the other side.

        Raises:
            ValueError: it is not a message.
        """
        _, size = frames.HEADER.unpack(frames.read_exactly(self._fd, frames.HEADER.size))
        message = json.loads(frames.read_exactly(self._fd, size))
        if type(message) is not dict:
            raise ValueError("the other process sent something that is not a message")
        return message

    def _serve(self, message: dict[str, Any]) -> None:
        table = typed.Table()
        try:
            args = [typed.decode(a, table, self._resolve) for a in message["args"]]
            kwargs = {k: typed.decode(v, table, self._resolve) for k, v in message["kwargs"].items()}
            before = [(i, c, typed.snapshot(c)) for i, c in enumerate(table.items)]
            answer: dict[str, Any] = {}
            try:
                value = self._perform(message["op"], message["on"], args, kwargs)
            except StopIteration:
                answer["stop"] = True
                value = None
            changes = [(i, c) for i, c, was in before if typed.changed(c, was)]
            answer["changed"] = [[i, typed.content(c, table, self._export)] for i, c in changes]
            answer["value"] = typed.encode(value, table, self._export)
        except (Exception, SystemExit, KeyboardInterrupt, GeneratorExit) as error:
            answer = {"error": self._describe(error)}
        self.send(answer)

    def _perform(self, operation: str, target: Any, args: list[Any], kwargs: dict[str, Any]) -> Any:
        found = self.names[target] if type(target) is str else self._exports[target]
        if operation == "get":
            return found
        if self._trusted and operation not in ("call", "next", "iterate"):
            own = type(found).__module__ == self._owner
            if not own or (operation == "attribute" and str(args[0]).startswith("_")):
                raise TypeError("this cannot be done with an object of the tests")
        return _OPERATIONS[operation](found, *args, **kwargs)

    def _export(self, value: Any) -> list[Any]:
        if isinstance(value, Remote):
            return ["yours", object.__getattribute__(value, "_remote")[1]]
        if isinstance(value, types.ModuleType):
            raise TypeError("a module cannot be passed")
        if len(self._exports) >= _MAX_HANDLES:
            raise ValueError(f"more than {_MAX_HANDLES} objects were passed")
        self._exports.append(value)
        iterator = hasattr(type(value), "__next__")
        kind = "iterator" if iterator else "function" if callable(value) else "object"
        return ["mine", len(self._exports) - 1, kind, getattr(value, "__name__", type(value).__name__)]

    def _resolve(self, data: list[Any]) -> Any:
        if data[0] == "yours":
            return self._exports[data[1]]
        if data[0] == "mine":
            return _KINDS[data[2]](self, int(data[1]), str(data[3])[:80])
        raise ValueError(f"unknown tag {str(data[0])[:40]!r}")

    def _describe(self, error: BaseException) -> dict[str, Any]:
        try:
            message = str(error)[:500]
        except Exception:
            message = ""
        mro = [c.__name__ for c in type(error).__mro__]
        return {"mro": mro, "message": message, "line": None if self._trusted else failing_line(error)}


def _rebuild(data: dict[str, Any]) -> Exception:
    """Make an exception of the same name that `except` clauses for its built-in bases catch."""
    names = [str(n)[:80] for n in data["mro"]]
    bases: tuple[type, ...] = (CandidateError,)
    for name in names:
        base = getattr(builtins, name, None)
        if base in (StopIteration, StopAsyncIteration):
            base = RuntimeError
        if isinstance(base, type) and issubclass(base, Exception):
            bases = (CandidateError, base) if base is not Exception else (CandidateError,)
            break
    error = type(names[0], bases, {"__module__": "candidate"})(str(data["message"]))
    error.line = data["line"] if type(data.get("line")) is int else None
    return error


def serve_candidate(fd: int, namespace: dict[str, Any], entry_point: str) -> None:
    """Offer the top-level names of a loaded candidate to the tests.

    Raises:
        NameError: it does not define the entry point.
    """
    if entry_point not in namespace:
        raise NameError(f"the program does not define {entry_point!r}")
    peer = Peer(fd, trusted=False, owner="candidate")
    peer.names = {k: v for k, v in namespace.items() if not isinstance(v, types.ModuleType) and not k.startswith("__")}
    modules = [k for k, v in namespace.items() if isinstance(v, types.ModuleType) and v.__name__ == ALIASES.get(k, k)]
    peer.send({"names": list(peer.names), "modules": modules})
    peer.serve_forever()


def run_tester(fd: int, entry_point: str, setup: str, tests: str, filename: str) -> None:
    """Run trusted tests; returns when they pass and raises when they do not."""
    peer = Peer(fd, trusted=True, owner="tests")
    hello = peer.receive()
    offered = {str(name) for name in hello["names"]}
    modules = {str(name) for name in hello["modules"]}
    module = types.ModuleType("tests")
    namespace = module.__dict__
    code = compile(tests, filename, "exec", dont_inherit=True)
    for name in sorted(_names(code) & offered):
        if not hasattr(builtins, name) and name != entry_point:
            namespace[name] = peer.ask("get", name, (), {})
    for name in sorted(_names(code) & modules):  # the program's imports, made again here: nothing of it is used
        with contextlib.suppress(ImportError):
            namespace[name] = importlib.import_module(ALIASES.get(name, name))
    exec(compile(setup, "<setup>", "exec", dont_inherit=True), namespace)
    namespace[entry_point] = peer.ask("get", entry_point, (), {})
    exec(code, namespace)


def _names(code: types.CodeType) -> set[str]:
    """Return every global name that a code object mentions."""
    names = set(code.co_names)
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            names |= _names(constant)
    return names
