"""The command `train.py`, and the committed configurations of other meta-agents."""

import json
import shutil
import sys
import warnings
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import train
import yaml
from train import TrainConfig
from transformers import Qwen2Config, Qwen2ForCausalLM

from w4s_gym.algos.policies.tiny.corpus import draw_rows
from w4s_gym.algos.policies.tiny.model import train_tokenizer
from w4s_gym.algos.trajectory import read_rows, write_rows
from w4s_gym.config_file import read_config

CONFIGS = Path(train.__file__).parent / "configs"
SMALL = {"max_turns": 1, "validation_size": 2, "test_size": 2, "max_repairs": 0}


@pytest.fixture(scope="module")
def random_qwen(tmp_path_factory):
    """Folder of a very small untrained model of the architecture of Qwen2.5."""
    folder = tmp_path_factory.mktemp("random_qwen")
    tokenizer = train_tokenizer(row.action for row in draw_rows(60, 0))
    config = Qwen2Config(
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=16384,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        Qwen2ForCausalLM(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def call(monkeypatch, module, *arguments):
    monkeypatch.setattr(sys, "argv", [module.__name__, *map(str, arguments)])
    module.main()


def smaller(path, model, folder):
    """The committed configuration, with a random model in place of the large one and no server."""
    config = read_config(TrainConfig, path)
    options = dict(config.policy_options)
    options.pop("sampler", None)
    changes = {
        "env": "W4S-GSMSymbolic-v0",
        "env_options": {**config.env_options, **SMALL, "executor": "sim:gpt-4o-mini"},
        "policy": f"hf:{model}",
        "policy_options": {**options, "max_new_tokens": 16},
        "algo": config.algo,
        "algo_options": config.algo_options,
        "candidates": 2,
        "iterations": 2,
    }
    target = folder / "config.yaml"
    target.write_text(yaml.safe_dump(changes))
    return target


@pytest.mark.parametrize("name", sorted(path.name for path in CONFIGS.glob("*-lora.yaml")))
def test_committed_configurations_train_adapters(name, random_qwen, tmp_path, monkeypatch, capsys):
    out, config = tmp_path / "run", smaller(CONFIGS / name, random_qwen, tmp_path)
    call(monkeypatch, train, "--config", config, "--out", out)
    rows = list(read_rows(out / "rows.jsonl"))
    assert len(rows) == 4 and all(row.truncated for row in rows)
    assert len((out / "curve.jsonl").read_text().splitlines()) == 2
    told = capsys.readouterr().out.splitlines()
    figures = [line for line in told if line.startswith(("iteration", "best workflow"))]
    assert figures[-1].startswith("best workflow") and all("(simulated)" in line for line in figures)
    untouched = (out / "state" / "policy" / "adapter_model.safetensors").read_bytes()

    # A random model never wins. As if its first text had:
    write_rows(
        tmp_path / "won.jsonl", [replace(row, reward=float(i == 0), new_best=i == 0) for i, row in enumerate(rows)]
    )
    call(monkeypatch, train, "--config", config, "--rows", tmp_path / "won.jsonl", "--out", tmp_path / "offline")
    assert "rows 4 " in capsys.readouterr().out
    folder = tmp_path / "offline" / "state" / "policy"
    assert (folder / "adapter_model.safetensors").read_bytes() != untouched
    assert not (folder / "model.safetensors").exists()


def test_a_run_that_is_started_again_goes_on(random_llm_options, tmp_path, monkeypatch, capsys):
    def start(out, iterations):
        call(monkeypatch, train, "--out", out, "--iterations", iterations, *random_llm_options)
        return (out / "rows.jsonl").read_text(), (out / "state" / "policy" / "model.safetensors").read_bytes()

    whole = start(tmp_path / "whole", 2)
    start(tmp_path / "parts", 1)
    assert start(tmp_path / "parts", 2) == whole
    assert "going on after iteration 1" in capsys.readouterr().out


@pytest.fixture
def random_llm_options(random_qwen):
    policy = json.dumps({"prompt_style": "compact", "max_new_tokens": 16, "temperature": 1.0, "learning_rate": 1e-3})
    return (
        "--policy", f"hf:{random_qwen}", "--policy-options", policy,
        "--env-options", json.dumps(SMALL), "--candidates", "2",
    )  # fmt: skip


def test_rows_that_were_collected_train_any_algorithm(random_llm_options, tmp_path, monkeypatch, capsys):
    played = tmp_path / "played"
    call(monkeypatch, train, "--algo", "untrained", "--out", played, "--iterations", 1, *random_llm_options)
    rows = played / "rows.jsonl"
    assert [row.run for row in read_rows(rows)] == ["untrained/0"] * 2
    assert not (played / "state" / "policy").exists(), "nothing is trained"
    for algo, trained in (("rlao", 0), ("grpo", 2)):  # RLAO has nothing to learn from rows that earned the same
        out = tmp_path / algo
        call(monkeypatch, train, "--algo", algo, "--rows", rows, "--out", out, *random_llm_options)
        assert f"rows {trained} " in capsys.readouterr().out
        assert (out / "state" / "policy" / "model.safetensors").exists()


def test_numbers_with_an_exponent_are_numbers(tmp_path):
    file = tmp_path / "config.yaml"
    file.write_text("policy_options:\n  learning_rate: 2e-5\n  top_p: 1.0\n")
    assert read_config(TrainConfig, file).policy_options == {"learning_rate": 2e-5, "top_p": 1.0}


def test_bad_configurations_are_refused(tmp_path, monkeypatch, capsys):
    file = tmp_path / "config.yaml"
    file.write_text("polcy: tiny")
    for arguments, message in (
        (("--config", file), "polic"),
        (("--config", tmp_path / "nothing.yaml"), "expected a YAML file"),
        (("--rows", tmp_path / "nothing.jsonl"), "--algo untrained"),
        (("--policy-options", "[1]"), "policy-options"),
    ):
        with pytest.raises(SystemExit) as ended:
            call(monkeypatch, train, *arguments)
        assert message in f"{ended.value}{capsys.readouterr().err}"


@pytest.mark.parametrize("moment", ["rows are written", "the curve is written", "a line is torn"])
def test_a_run_that_was_killed_before_its_state_was_saved_ends_as_if_it_was_not(
    moment, random_qwen, tmp_path, monkeypatch
):
    def play(out, iterations):
        options = json.dumps({**SMALL, "executor": "sim:gpt-4o-mini"})
        small = ("--candidates", 2, "--policy", f"hf:{random_qwen}", "--policy_options", '{"max_new_tokens": 8}')
        call(monkeypatch, train, "--env_options", options, *small, "--iterations", iterations, "--out", out)

    def files(out):
        return [(out / name).read_text() for name in ("rows.jsonl", "curve.jsonl", "state/earlier.jsonl")]

    whole, killed = tmp_path / "whole", tmp_path / "killed"
    play(whole, 1)
    shutil.copytree(whole, killed)
    play(whole, 2)
    rows, curve = (
        "".join((whole / name).read_text().splitlines(keepends=True)[n:])
        for name, n in (("rows.jsonl", 2), ("curve.jsonl", 1))
    )
    with (killed / "rows.jsonl").open("a") as file:
        file.write(rows[: len(rows) * 2 // 3] if moment == "a line is torn" else rows)
    if moment == "the curve is written":
        with (killed / "curve.jsonl").open("a") as file:
            file.write(curve)
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        play(killed, 2)
    first, second = files(whole), files(killed)
    assert (first[0], first[2]) == (second[0], second[2])
    points = [[{**json.loads(line), "calls": 0} for line in text.splitlines()] for text in (first[1], second[1])]
    assert points[0] == points[1]
    assert any("rows.jsonl" in str(w.message) for w in said) == (moment == "a line is torn")
    assert (killed / "rows.unsaved.jsonl").read_text().splitlines()[0] == rows.splitlines()[0]
    weights = [(out / "state" / "policy" / "model.safetensors").read_bytes() for out in (whole, killed)]
    assert weights[0] == weights[1]
