"""Recordings: every sample of a run in one JSONL file, from which the run can be repeated offline."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from w4s_gym.errors import ConfigError, ExecutorUnavailable
from w4s_gym.executors.base import ChatReply, ChatRequest, Executor, PricedExecutor, most_cost, most_tokens
from w4s_gym.executors.cache import Sample, sample_key, split_reply
from w4s_gym.executors.keys import redact
from w4s_gym.paths import user_path
from w4s_gym.usage import Usage

_log = logging.getLogger(__name__)
_VERSION = 1
_PROMPT_CHARS = 80


class RecordingExecutor:
    """Passes requests on and writes every sample down. Requests and replies only: no headers, no keys."""

    def __init__(self, inner: Executor, path: str | Path) -> None:
        """Record `inner` into `path`; an existing recording of the same executor is continued.

        Raises:
            ConfigError: `path` holds a recording of another executor.
        """
        self.name = inner.name
        self.simulated = inner.simulated
        self.inner = inner
        self.path = user_path(path)
        self._full = ""
        header = {"w4s_recording": _VERSION, "executor": inner.name, "simulated": inner.simulated}
        self._written: set[str] = set()
        if self.path.exists() and self.path.stat().st_size:
            kept, samples = _load(self.path)
            if kept != header:
                raise ConfigError(f"{self.path} is a recording of {kept['executor']!r}; choose another file")
            self._written = set(samples)
            self._end_last_line()
        else:
            try:
                self.path.parent.mkdir(parents=True, exist_ok=True)
                self._append(header)
            except OSError as error:
                raise ConfigError(
                    f"expected a recording that can be written at {self.path}; got {error.strerror or error}"
                ) from error

    async def complete(self, request: ChatRequest) -> ChatReply:
        """Pass the request on, and record its samples.

        Raises:
            ExecutorUnavailable: from the recorded executor; or the recording can no longer be written.
            RequestRefused: from the recorded executor.
        """
        if self._full:
            raise ExecutorUnavailable(f"{self._full}. Nothing more is asked of {self.name}: make room and go on")
        reply = await self.inner.complete(request)
        for offset, sample in enumerate(split_reply(reply)):
            key = sample_key(self.name, request, request.sample_index + offset)
            if key not in self._written:
                self._written.add(key)
                messages = [dict(m) for m in request.messages]
                try:
                    self._append({"key": key, "messages": messages, "sample": json.loads(sample.to_json())})
                except OSError as error:  # what was paid is handed on all the same
                    self._full = f"the recording {self.path} cannot be written: {error.strerror or error}"
                    _log.error(self._full)
        return reply

    def most(self, request: ChatRequest) -> tuple[int, float | None]:
        """Return upper estimates of (tokens, US dollars) of a request."""
        return most_cost(self.inner, request)

    @property
    def price_per_million(self) -> tuple[float, float] | None:
        """US dollars per million tokens of prompts and of completions, as the recorded executor tells them."""
        return self.inner.price_per_million if isinstance(self.inner, PricedExecutor) else None

    async def close(self) -> None:
        """Close the recorded executor. May be called twice."""
        await self.inner.close()

    def _append(self, line: Mapping[str, Any]) -> None:
        data = (redact(json.dumps(line, ensure_ascii=False)) + "\n").encode()
        descriptor = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        try:
            written = os.write(descriptor, data)  # one write: lines of several processes do not mix
            if written < len(data):
                os.write(descriptor, data[written:])  # says why there was no room for all of it
        finally:
            os.close(descriptor)

    def _end_last_line(self) -> None:
        """End a line that a killed process left unfinished, so that the next one does not stick to it."""
        if not self.path.read_bytes().endswith(b"\n"):
            with self.path.open("ab") as file:
                file.write(b"\n")


class ReplayExecutor:
    """Answers from a recording; asks nobody."""

    def __init__(self, path: str | Path) -> None:
        """Load the recording at `path`.

        Raises:
            ConfigError: no such file, or no recording.
        """
        self.path = user_path(path)
        if not self.path.is_file():
            raise ConfigError(f"no recording at {self.path}; make one with 'record:{self.path}@<executor>'")
        header, self._samples = _load(self.path)
        self.name = str(header["executor"])
        self.simulated = bool(header["simulated"])

    async def complete(self, request: ChatRequest) -> ChatReply:
        """Answer from the recording; tokens are reported, nothing is paid.

        Raises:
            ExecutorUnavailable: the recording lacks the request.
        """
        completions, usage = [], Usage()
        for index in range(request.sample_index, request.sample_index + request.n):
            sample = self._samples.get(sample_key(self.name, request, index))
            if sample is None:
                start = str(request.messages[-1].get("content", ""))[:_PROMPT_CHARS]
                raise ExecutorUnavailable(
                    f"{self.path} holds no sample {index} (draw {request.draw}) of the request that ends {start!r}; "
                    f"record again with 'record:{self.path}@{self.name}'"
                )
            completions.append(sample.completion)
            usage = usage + sample.usage
        return ChatReply(tuple(completions), usage)

    def most(self, request: ChatRequest) -> tuple[int, float | None]:
        """Return upper estimates of (tokens, US dollars) of a request: it costs no dollars."""
        return request.n * most_tokens(request), 0.0

    async def close(self) -> None:
        """Do nothing: there is nothing to close."""


def _load(path: Path) -> tuple[dict[str, Any], dict[str, Sample]]:
    """Read a recording; a last line that a killed process left unfinished is skipped."""
    lines = path.read_text(encoding="utf-8-sig").split("\n")  # splitlines() would also split inside of replies
    samples: dict[str, Sample] = {}
    header: dict[str, Any] = {}
    for number, line in enumerate(lines, 1):
        try:
            data = json.loads(line)
        except ValueError:
            continue  # the line of a process that was killed while it wrote
        if number == 1:
            header = data
        else:
            samples.setdefault(data["key"], Sample.from_json(json.dumps(data["sample"])))
    if header.get("w4s_recording") != _VERSION:
        raise ConfigError(f"{path} is no recording of version {_VERSION}: its first line is {lines[0][:80]!r}")
    return header, samples
