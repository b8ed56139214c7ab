import pytest

from w4s_gym.errors import ConfigError
from w4s_gym.study.cells import Cell
from w4s_gym.study.config import CompareConfig
from w4s_gym.study.designers import DESIGNERS, Setup, find_designer

MINE = """
from dataclasses import dataclass
from pathlib import Path

from w4s_gym.algos.base import Algorithm

with (Path(__file__).parent / "executed.txt").open("a") as log:
    log.write("once\\n")


@dataclass(frozen=True)
class MineConfig:
    patience: int = 3


class Mine(Algorithm):
    name = "mine"

    def __init__(self, seed, candidates, run, config=MineConfig()):
        self.given = (seed, candidates, run, config)

    def collect(self, env, seed): ...
    def update(self, batch): ...
    def save(self, folder): ...
    def load(self, folder): ...


class Plain(Mine):
    name = "plain"

    def __init__(self, policy, depth=1):
        self.given = (policy, depth)
"""


@pytest.fixture
def mine(tmp_path):
    (tmp_path / "mine.py").write_text(MINE)
    return tmp_path / "mine.py"


def test_a_users_file_is_executed_once(mine):
    for _ in range(3):
        assert find_designer(f"{mine}:Mine").label == "mine"
    assert (mine.parent / "executed.txt").read_text() == "once\n"


def test_a_users_algorithm_is_given_what_its_constructor_names(mine):
    designer = find_designer(f"{mine}:Mine")
    assert not designer.needs_policy
    algorithm = designer.make(Setup(None, 5, "mine/7", 7, options={"patience": 9}))
    assert algorithm.given[:3] == (7, 5, "mine/7")
    assert algorithm.given[3].patience == 9
    with pytest.raises(ConfigError, match="patience"):
        designer.make(Setup(None, 5, "mine/7", 7, options={"patients": 9}))


def test_options_without_a_config_are_arguments(mine):
    designer = find_designer(f"{mine}:Plain")
    assert designer.needs_policy
    assert designer.make(Setup("policy", 5, "plain/0", 0, options={"depth": 2})).given == ("policy", 2)
    with pytest.raises(ConfigError, match=r"unknown 'width'.*known options: policy, depth"):
        designer.make(Setup("policy", 5, "plain/0", 0, options={"width": 2}))


def test_what_is_no_designer_is_told(mine):
    with pytest.raises(ConfigError, match="random_edits"):
        find_designer("magic")
    with pytest.raises(ConfigError, match="to be a subclass of Algorithm"):
        find_designer(f"{mine}:MineConfig")


def test_designers_are_compared_only_with_known_ones_and_never_twice():
    pairs = [(name, other) for name, designer in DESIGNERS.items() for other in designer.against]
    assert {name for pair in pairs for name in pair} <= set(DESIGNERS)
    assert not {(b, a) for a, b in pairs} & set(pairs)
    assert sum(d.reference for d in DESIGNERS.values()) == sum(d.baseline for d in DESIGNERS.values()) == 1


def found(tokens, validation):
    return {"search": {"tokens_per_item": tokens, "validation": validation}}


@pytest.mark.parametrize(
    ("finished", "tokens"),
    [
        ({}, None),
        ({"seed": found(1.0, 0.9)}, None),  # what everybody starts from is no search result
        ({"seed": found(1.0, 0.9), "adas": found(2.0, 0.5), "aflow": found(3.0, 0.6)}, 3.0),
        ({"rlao": found(4.0, 0.1), "aflow": found(3.0, 0.6)}, 4.0),
    ],
)
def test_cot_sc_matches_the_tokens_of_rlao_or_else_of_the_best_that_was_found(finished, tokens):
    config = CompareConfig(algos=("seed", "rlao", "adas", "aflow", "cot_sc"))
    done = {("", algo, 0): result for algo, result in finished.items()}
    done["", "grpo", 0] = done["other", "rlao", 0] = done["", "rlao", 1] = found(99.0, 1.0)  # no part of this cell
    assert Cell(config, "cot_sc", 0).after(done).tokens_per_item == tokens
    assert Cell(config, "adas", 0).after(done).tokens_per_item is None


def test_a_trained_meta_agent_stands_in_a_comparison_with_its_own_settings(tmp_path, monkeypatch, grammar_policy):
    from w4s_gym import algos
    from w4s_gym.study import CompareConfig, Comparison

    made = []

    def make(spec, **options):
        made.append((spec, options))
        return policy(spec, **options)

    folders = [tmp_path / run / "state" / "policy" for run in ("a", "b")]
    for folder in folders:
        folder.mkdir(parents=True)
        (folder / "policy.json").write_text("{}")
    policy = algos.make_policy  # replaced by one without a model
    monkeypatch.setattr(algos, "make_policy", make)
    specs = [f"trained:{tmp_path / run}" for run in ("a", "b")]
    config = CompareConfig(
        algos=("untrained", *specs), policy_options={"temperature": 0.3}, seeds=1, budget=20, validation_size=4,
        test_size=4, design_episodes=1, workers=0,
    )  # fmt: skip
    results = Comparison(config).run(tmp_path / "run", quiet=True)
    assert made[-3:] == [("tiny", {"temperature": 0.3}), *((f"hf:{folder}", {}) for folder in folders)]
    assert results.algos == ["untrained", *specs] and results.meta_agents == results.algos
    assert [results.label(spec) for spec in specs] == [f"trained {tmp_path.name}/{run}" for run in ("a", "b")]
    assert f"trained {tmp_path.name}/a v untrained" in results.table
    assert len(list((tmp_path / "run" / "cells").glob("*/rows.jsonl"))) == 3  # a folder each


def test_a_folder_that_holds_no_trained_meta_agent_is_refused_before_anything_is_made(tmp_path):
    from w4s_gym.study import CompareConfig, Comparison

    with pytest.raises(ConfigError, match="folder of a trained meta-agent"):
        Comparison(CompareConfig(algos=(f"trained:{tmp_path}",))).run(tmp_path / "run")
    assert not (tmp_path / "run").exists()
