import json

import pytest

from w4s_gym.data import clear_caches


@pytest.fixture(autouse=True)
def no_data(monkeypatch):
    monkeypatch.delenv("W4S_DATA_DIR", raising=False)
    clear_caches()


def test_every_benchmark_is_here_or_says_how_to_get_it(call):
    code, out, _ = call("list", "benchmarks", "--json")
    rows = {row["name"]: row for row in json.loads(out)["benchmarks"]}
    assert code == 0 and rows["W4S-ChainSum-v0"]["data"] == "here" and rows["W4S-ChainSum-v0"]["items"] == "1,000"
    assert "W4S_DATA_DIR" in rows["W4S-MGSM-v0"]["data"] and "w4s-gym[hub]" in rows["W4S-MGSM-v0"]["data"]
    assert "token" in rows["W4S-GPQA-v0"]["data"]


def test_what_is_in_the_data_folder_is_here(call, tmp_path, monkeypatch):
    folder = tmp_path / "svamp"
    folder.mkdir()
    (folder / "SVAMP.json").write_text("[]")
    monkeypatch.setenv("W4S_DATA_DIR", str(tmp_path))
    _, out, _ = call("list", "benchmarks", "--json")
    rows = {row["name"]: row for row in json.loads(out)["benchmarks"]}
    assert "expected 1000 records; got 0" in rows["W4S-SVAMP-v0"]["data"]


def test_an_unknown_section_is_refused(call):
    code, _, err = call("list", "benchmark")
    assert code == 2 and "benchmarks" in err
