"""Finding and reading the data of a benchmark: explicit path, `W4S_DATA_DIR`, a package, the hub."""

from __future__ import annotations

import functools
import gzip
import importlib.resources
import importlib.util
import json
import os
import socket
import urllib.parse
import urllib.request
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from w4s_gym.benchmark import Item
from w4s_gym.checksum import altered_row
from w4s_gym.errors import DataCorrupt, DataMissing
from w4s_gym.paths import user_path

DATA_DIR_VARIABLE = "W4S_DATA_DIR"
"""Environment variable that names a folder with the original files of the benchmarks."""

Row = dict[str, Any]
"""One record of a data file."""


@dataclass(frozen=True)
class DataFile:
    """An original data file and what is known about it."""

    path: str
    """Path below the data folder, for instance `gsm8k/test.jsonl`; a packed copy (`.gz`) is found as well."""
    fields: Mapping[str, type | tuple[type, ...]]
    """Fields every record must have, with their types."""
    records: int = 0
    """Number of records; 0 when any number is fine."""
    checksum: str = ""
    """`w4s_gym.checksum.checksum` of the records; empty when the content is not pinned."""
    columns: tuple[str, ...] = ()
    """Names of the columns of a `.tsv` file, which has no header."""


@dataclass(frozen=True)
class HubSource:
    """The same data on the Hugging Face hub."""

    repo: str
    split: str
    revision: str
    """Commit that is loaded."""
    configs: tuple[str | None, ...] = (None,)
    """Configurations to read, one after the other."""
    records: int = 0
    """Number of records over all configurations; 0 when unknown."""
    convert: Callable[[Row], Row] = field(default=lambda row: row)
    """Brings a row of the hub into the shape of the local file."""
    gated: bool = False
    """True when the owner asks for a user's token."""


def load_rows(
    benchmark: str,
    *,
    file: DataFile,
    hub: HubSource | None = None,
    package: tuple[str, str] | None = None,
    data_path: str | os.PathLike[str] | None = None,
    verify: bool = True,
) -> list[Row]:
    """Return the records of a data file from the first place that has them.

    Args:
        benchmark: name of the benchmark, for messages.
        file: the original file.
        hub: the same data on the hub.
        package: (module, file inside it) of an installed package that ships the file.
        data_path: a file, or a folder that holds `file.path` or a file of that name; nothing else is tried then.
        verify: compare number and content of records with the original ones.

    Raises:
        DataMissing: no place has the data; the message names all ways to provide it.
        DataCorrupt: the file is truncated or altered; the message names file and row.
    """
    if data_path is not None:
        found = _locate(user_path(data_path), file.path)
        if found is None:
            raise _missing(benchmark, file, hub, [f"data_path={data_path}: no such file"])
        return read_file(found, file, verify=verify)
    tried = []
    folder = os.environ.get(DATA_DIR_VARIABLE)
    if folder:
        found = _locate(user_path(folder), file.path)
        if found is not None:
            return read_file(found, file, verify=verify)
        tried.append(f"{DATA_DIR_VARIABLE}={folder}: no {file.path} in it")
    else:
        tried.append(f"{DATA_DIR_VARIABLE}: not set")
    if package is not None:
        found = _package_file(*package)
        if found is not None:
            return read_file(found, file, verify=verify)
        tried.append(f"package {package[0]}: not installed")
    if hub is not None:
        rows, failure = _load_hub(hub, verify)
        if rows is not None:
            check_rows(rows, file, f"{hub.repo} on the hub")
            return rows
        tried.append(f"hub {hub.repo}: {failure}")
    raise _missing(benchmark, file, hub, tried)


_hub_is_asked = ContextVar("hub_is_asked", default=True)


@contextmanager
def without_hub() -> Iterator[None]:
    """Look for data on this machine only; what is on the hub counts as missing."""
    token = _hub_is_asked.set(False)
    try:
        yield
    finally:
        _hub_is_asked.reset(token)


def load_hub_rows(benchmark: str, file: DataFile, hub: HubSource) -> list[Row]:
    """Return records that are had from the hub only; `file` says which fields they must have.

    Raises:
        DataMissing: the hub cannot be reached or refuses.
        DataCorrupt: records are missing or lack a field.
    """
    rows, failure = _load_hub(hub, verify=True)
    if rows is None:
        raise _missing(benchmark, None, hub, [f"hub {hub.repo}: {failure}"])
    check_rows(rows, file, f"{hub.repo} on the hub")
    return rows


def read_file(path: Path, file: DataFile, *, verify: bool = True) -> list[Row]:
    """Read a `.jsonl`, `.json` or `.tsv` file, packed or not, and check its rows.

    Raises:
        DataCorrupt: a row does not parse or lacks a field, or (with `verify`) rows are missing or altered.
    """
    rows = list(_parse(path, file))
    if verify and file.records and len(rows) != file.records:
        raise DataCorrupt(
            f"{path}: expected {file.records} records; got {len(rows)}, the last one in row {len(rows)}. "
            "Fetch the original file again, or pass verify=False to use an edited one."
        )
    check_rows(rows, file, str(path))
    if verify and file.checksum:
        altered = altered_row(rows, file.checksum)
        if altered is not None:
            where = f"row {altered} differs" if altered else "several rows differ, or their order does"
            raise DataCorrupt(
                f"{path}: {where} from the original. Fetch the file again, or pass verify=False to use an edited one."
            )
    return rows


def check_rows(rows: Sequence[Row], file: DataFile, where: str) -> None:
    """Raise `DataCorrupt` for the first row that lacks a field of `file` or has one of a wrong type."""
    for number, row in enumerate(rows, start=1):
        for name, types in file.fields.items():
            if name not in row:
                raise DataCorrupt(f"{where}, row {number}: expected a field {name!r}; got {', '.join(row) or 'none'}.")
            if not isinstance(row[name], types):
                expected = " or ".join(t.__name__ for t in (types if isinstance(types, tuple) else (types,)))
                got = type(row[name]).__name__
                raise DataCorrupt(f"{where}, row {number}: expected {name!r} of type {expected}; got {got}.")


_caches: list[Callable[[], None]] = []


def cached_load(load: Callable[..., Sequence[Item]]) -> Callable[..., tuple[Item, ...]]:
    """Cache `load(**options)` per options and per data folder, for the life of the process."""

    @functools.lru_cache(maxsize=32)
    def cached(folder: str | None, options: tuple[tuple[str, Any], ...]) -> tuple[Item, ...]:
        return tuple(load(**dict(options)))

    @functools.wraps(load)
    def wrapper(**options: Any) -> tuple[Item, ...]:
        hashable = {name: tuple(value) if isinstance(value, list) else value for name, value in options.items()}
        return cached(os.environ.get(DATA_DIR_VARIABLE), tuple(sorted(hashable.items())))

    _caches.append(cached.cache_clear)
    return wrapper


def clear_caches() -> None:
    """Forget all loaded items, so that files are read again."""
    for clear in _caches:
        clear()


def _locate(base: Path, name: str) -> Path | None:
    """Find a file by name at or below `base`, packed or not."""
    if base.is_file():
        return base
    bare = name.removesuffix(".gz")
    for candidate in (bare, bare + ".gz", Path(bare).name, Path(bare).name + ".gz"):
        if (base / candidate).is_file():
            return base / candidate
    return None


def _package_file(module: str, name: str) -> Path | None:
    if importlib.util.find_spec(module) is None:
        return None
    path = Path(str(importlib.resources.files(module))) / name
    return path if path.is_file() else None


def _parse(path: Path, file: DataFile) -> Iterator[Row]:
    """Yield the records of a file."""
    try:
        packed = path.read_bytes()
        raw = gzip.decompress(packed) if packed[:2] == b"\x1f\x8b" else packed
        text = raw.decode("utf-8-sig")
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise DataCorrupt(f"{path}: the packed file is cut off or damaged ({error}); rows cannot be read.") from error
    except UnicodeDecodeError as error:
        row = raw.count(b"\n", 0, error.start) + 1
        raise DataCorrupt(f"{path}, row {row}: expected UTF-8 text; got other bytes ({error.reason}).") from error
    name = path.name.removesuffix(".gz")
    if name.endswith(".json"):
        yield from _parse_json(path, text)
        return
    # Only "\n" ends a record: some texts hold other line separators, which str.splitlines would cut at.
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        if name.endswith(".tsv"):
            cells = line.rstrip("\r").split("\t")
            if len(cells) != len(file.columns):
                raise DataCorrupt(f"{path}, row {number}: expected {len(file.columns)} columns; got {len(cells)}.")
            yield dict(zip(file.columns, cells, strict=True))
            continue
        try:
            row = json.loads(line)
        except json.JSONDecodeError as error:
            raise DataCorrupt(
                f"{path}, row {number}: expected one JSON object; got {line[:60]!r} ({error})."
            ) from error
        yield _as_record(path, number, row)


def _parse_json(path: Path, text: str) -> Iterator[Row]:
    try:
        rows = json.loads(text)
    except json.JSONDecodeError as error:
        raise DataCorrupt(f"{path}, row {error.lineno}: expected a JSON list; it does not parse ({error}).") from error
    if not isinstance(rows, list):
        raise DataCorrupt(f"{path}, row 1: expected a JSON list; got {type(rows).__name__}.")
    for number, row in enumerate(rows, start=1):
        yield _as_record(path, number, row)


def _as_record(path: Path, number: int, row: Any) -> Row:
    if not isinstance(row, dict):
        raise DataCorrupt(f"{path}, row {number}: expected a JSON object; got {type(row).__name__}.")
    return row


def _load_hub(hub: HubSource, verify: bool) -> tuple[list[Row] | None, str]:
    """Return (rows, "") or (None, why not)."""
    if not _hub_is_asked.get():
        return None, "not asked"
    if importlib.util.find_spec("datasets") is None:
        return None, "the package `datasets` is not installed"
    import datasets

    if not _hub_resolves():
        # Without this the client retries for half a minute before it looks into its cache.
        datasets.config.HF_HUB_OFFLINE = True
    rows: list[Row] = []
    for config in hub.configs:
        try:
            part = datasets.load_dataset(hub.repo, config, split=hub.split, revision=hub.revision)
        except Exception as error:  # `datasets` and its transports raise many unrelated types
            return None, f"{type(error).__name__}: {str(error)[:200]}"
        rows.extend(hub.convert(dict(row)) for row in part)
    if verify and hub.records and len(rows) != hub.records:
        raise DataCorrupt(
            f"{hub.repo} at revision {hub.revision}: expected {hub.records} records; got {len(rows)}, the last one in "
            f"row {len(rows)}. Clear the cache of `datasets` and load it again, or pass verify=False."
        )
    return rows, ""


def _hub_resolves() -> bool:
    """Tell whether the hub's name can be looked up; taken for granted behind a proxy."""
    if urllib.request.getproxies():
        return True
    host = urllib.parse.urlsplit(os.environ.get("HF_ENDPOINT", "https://huggingface.co")).hostname
    try:
        socket.getaddrinfo(host, 443)
    except OSError:
        return False
    return True


def _missing(benchmark: str, file: DataFile | None, hub: HubSource | None, tried: Sequence[str]) -> DataMissing:
    ways = []
    if file is not None:
        ways.append(f'pass data_path="<file or folder>" (original file: {file.path})')
        ways.append(f"set {DATA_DIR_VARIABLE} to a folder that holds {file.path}")
    if hub is not None:
        token = ", accept its terms on the hub and log in with your token (`hf auth login`)" if hub.gated else ""
        ways.append(f"install `w4s-gym[hub]`{token} and be online: {hub.repo} at revision {hub.revision} is loaded")
    numbered = "; ".join(f"({i}) {way}" for i, way in enumerate(ways, start=1))
    tried_text = "; ".join(tried)
    message = f"{benchmark}: expected its data; found none. Tried: {tried_text}. Ways to provide it: {numbered}."
    return DataMissing(message, tuple(ways))


def published_ids(benchmark: str) -> tuple[list[Any], list[Any]]:
    """Return the published lists of (validation, test) row ids from `splits/aflow_w4s_splits.json` of the data folder.

    Raises:
        DataMissing: there is no such file.
    """
    folder = os.environ.get(DATA_DIR_VARIABLE)
    path = user_path(folder) / "splits" / "aflow_w4s_splits.json" if folder else None
    if path is None or not path.is_file():
        raise DataMissing(
            f"{benchmark}: expected the published split lists in {DATA_DIR_VARIABLE}/splits/aflow_w4s_splits.json; "
            f"{DATA_DIR_VARIABLE} is {folder or 'not set'}. Provide the file, or use the seeded split."
        )
    lists = json.loads(path.read_text(encoding="utf-8-sig"))[benchmark]
    return list(lists["validate"]), list(lists["test"])
