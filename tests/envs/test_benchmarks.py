"""Every benchmark: same items from file and hub, conformance, original data, missing data."""

import os
import re

import pytest

from w4s_gym.benchmark import benchmark_names, get_benchmark
from w4s_gym.data import DATA_DIR_VARIABLE, clear_caches
from w4s_gym.envs import MODULES
from w4s_gym.errors import ConfigError, DataMissing
from w4s_gym.testing import check_benchmark

ORIGINALS = os.environ.get(DATA_DIR_VARIABLE)
needs_originals = pytest.mark.skipif(not ORIGINALS, reason=f"{DATA_DIR_VARIABLE} is not set")

GENERATED = ("GSMSymbolic", "ChainSum")
LOCAL = ("MGSM", "GSM8K", "GSMPlus", "GSMHard", "SVAMP", "DROP", "HotpotQA", "MMLUPro", "HumanEval", "MBPP")
COUNTS = {
    "MGSM": 2750,
    "GSM8K": 1319,
    "GSMPlus": 2400,
    "GSMHard": 1319,
    "SVAMP": 1000,
    "DROP": 9536,
    "HotpotQA": 200,
    "MMLUPro": 12032,
    "HumanEval": 164,
    "MBPP": 427,
}


def test_all_are_registered():
    assert set(MODULES) <= set(benchmark_names())
    assert len(MODULES) == 14
    for name in MODULES:
        assert get_benchmark(name).name == name


@pytest.mark.parametrize("name", [*LOCAL, "MATH"])
def test_file_and_hub_give_the_same_items(name, samples, data_folder, hub, monkeypatch):
    sample, benchmark = samples[name], get_benchmark(name)
    from_file = benchmark.load(**sample.options)
    if name == "HumanEval":  # the package would come before the hub
        monkeypatch.setattr("w4s_gym.envs.humaneval.PACKAGE", ("no_such_package", "x"))
    loaded = hub(sample.hub)
    clear_caches()
    from_hub = benchmark.load(**sample.options)
    assert loaded and all(re.fullmatch("[0-9a-f]{40}", revision) for _, revision in loaded)
    assert len(from_file) >= 14
    assert from_hub == from_file


@pytest.mark.parametrize("name", [*LOCAL, "MATH"])
def test_conformance_on_invented_data(name, samples, data_folder):
    check_benchmark(name, options=samples[name].options)


def test_conformance_of_gpqa_on_invented_data(samples, hub):
    hub(samples["GPQA"].hub)
    check_benchmark("GPQA")


@pytest.mark.parametrize("name", GENERATED)
def test_conformance_of_generated(name):
    check_benchmark(name)


@needs_originals
@pytest.mark.parametrize("name", LOCAL)
def test_conformance_on_original_data(name):
    check_benchmark(name)


@needs_originals
@pytest.mark.parametrize(("name", "count"), COUNTS.items())
def test_counts_of_original_data(name, count):
    items = get_benchmark(name).load()
    assert len(items) == count
    assert len({item.id for item in items}) == count


@needs_originals
@pytest.mark.parametrize(
    ("name", "options", "count"),
    [
        ("GSM8K", {"part": "train"}, 7473),
        ("MMLUPro", {"part": "validation"}, 70),
        ("HotpotQA", {"closed_book": True}, 7405),
        *(("MGSM", {"language": code}, 250) for code in ("en", "bn", "te")),
    ],
)
def test_counts_of_other_parts(name, options, count):
    assert len(get_benchmark(name).load(**options)) == count


@needs_originals
@pytest.mark.parametrize(
    ("name", "sizes"), [("HumanEval", (33, 131)), ("MBPP", (86, 341)), ("GSM8K", (264, 1055)), ("DROP", (200, 787))]
)
def test_published_splits(name, sizes):
    from w4s_gym.splits import make_split

    benchmark = get_benchmark(name)
    items = benchmark.load()
    split = make_split(items, 2000, 2000, kind="published", published=benchmark.published_split(items))
    assert (len(split.validation), len(split.test)) == sizes
    assert not {i.identity for i in split.validation} & {i.identity for i in split.test}


@pytest.mark.parametrize("name", [name for name in MODULES if name not in (*GENERATED, "HumanEval")])
def test_without_data_one_clear_error(name, hub):
    hub(ConnectionError("no network"))
    with pytest.raises(DataMissing) as error:
        get_benchmark(name).load()
    message = str(error.value)
    assert "no network" in message and "w4s-gym[hub]" in message
    if name == "GPQA":
        assert "token" in message
    else:
        assert "data_path=" in message and DATA_DIR_VARIABLE in message


@pytest.mark.parametrize("name", [*GENERATED, "HumanEval"])
def test_without_data_some_work(name, hub):
    loaded = hub(ConnectionError("no network"))
    assert len(get_benchmark(name).load()) >= 164
    assert not loaded


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("MGSM", {"language": "klingon"}),
        ("MGSM", {"language": ()}),
        ("GSM8K", {"part": "dev"}),
        ("MMLUPro", {"part": "dev"}),
        ("MATH", {"part": "dev"}),
        ("MATH", {"level": 6}),
        ("GPQA", {"part": "dev"}),
        ("ChainSum", {"style": "poem"}),
        ("ChainSum", {"terms": 1}),
        ("ChainSum", {"digits": (3, 2)}),
        ("ChainSum", {"digits": 1, "size": 5000}),
        ("GSMSymbolic", {"size": 1}),
    ],
)
def test_options_that_cannot_be_used(name, options):
    with pytest.raises(ConfigError, match=r"expected"):
        get_benchmark(name).load(**options)


def test_only_gpqa_is_confidential():
    assert [name for name in MODULES if get_benchmark(name).confidential] == ["GPQA"]
