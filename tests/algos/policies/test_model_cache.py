import threading

import pytest

from w4s_gym.algos.policies.model_cache import cache_root, make_once


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("W4S_CACHE_DIR", str(tmp_path / "cache"))


def test_a_folder_is_built_once_even_if_many_ask():
    built = []

    def build(folder):
        built.append(folder)
        (folder / "file").write_text("x" * 100_000)

    folders = []
    threads = [threading.Thread(target=lambda: folders.append(make_once("thing", build))) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(built) == 1
    assert set(folders) == {cache_root() / "thing"}
    assert (folders[0] / "file").stat().st_size == 100_000


def test_a_build_that_fails_leaves_nothing_and_the_next_one_succeeds():
    def fail(folder):
        (folder / "half").write_text("")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        make_once("thing", fail)
    assert [path.name for path in cache_root().iterdir()] == ["thing.lock"]
    assert make_once("thing", lambda folder: (folder / "whole").write_text("")).joinpath("whole").exists()


def test_what_a_killed_build_left_is_removed():
    stale = cache_root() / "thing-abc"
    stale.mkdir(parents=True)
    make_once("thing", lambda folder: None)
    assert not stale.exists()


def test_the_cache_lies_in_the_users_cache_folder_by_default(monkeypatch, tmp_path):
    monkeypatch.delenv("W4S_CACHE_DIR")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_root() == tmp_path / "w4s-gym"
