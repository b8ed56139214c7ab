"""Training in several processes, as `accelerate launch` starts them."""

import json
import re
import subprocess
import sys

from safetensors.torch import load_file

from w4s_gym.algos.policies.tiny.corpus import draw_rows
from w4s_gym.algos.trajectory import Row, write_rows
from w4s_gym.commands.train import TrainConfig, train_offline

LAUNCH = ["-m", "accelerate.commands.launch", "--cpu", "--num_processes", "2", "--num_cpu_threads_per_process", "1"]


def launch(*arguments):
    return subprocess.run(
        [sys.executable, *LAUNCH, "-m", "w4s_gym", "train", *map(str, arguments)],
        capture_output=True, text=True, timeout=600,
    )  # fmt: skip


def row(text, number):
    best = number % 3 == 0
    return Row(
        messages=tuple(text.messages), action=text.action, reward=float(best), accuracy=0.5, kind="design",
        status="evaluated", chosen=best, benchmark="GSMSymbolic", run="untrained/0", episode=number, turn=0,
        candidate=0, simulated=True, reward_kind="tiers", new_best=best,
    )  # fmt: skip


def test_two_processes_take_the_steps_of_one(random_llm, tmp_path, capsys):
    rows = tmp_path / "rows.jsonl"
    write_rows(rows, [row(text, number) for number, text in enumerate(draw_rows(12, 0))])
    policy = {"lora_rank": 4, "dtype": "float32"}
    # The last batch has a row for one of the two only.
    algo = {"rows_per_step": 5, "epochs": 1, "learning_rate": 0.01, "packing": True, "bfloat16": False}
    alone = TrainConfig(
        policy=f"hf:{random_llm}", policy_options=policy, algo="rlao", algo_options=algo, rows=(rows,),
        out=tmp_path / "alone",
    )  # fmt: skip
    train_offline(alone)
    expected = re.findall(r"(\w+) ([-\d.e]+)", capsys.readouterr().out.splitlines()[0])
    done = launch(
        "--policy", f"hf:{random_llm}", "--policy-options", json.dumps(policy), "--algo", "rlao",
        "--algo-options", json.dumps(algo), "--rows", rows, "--out", tmp_path / "two",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    told = [line for line in done.stdout.splitlines() if " rows: " in line]
    assert len(told) == 1  # one process speaks
    got = dict(re.findall(r"(\w+) ([-\d.e]+)", told[0]))
    assert float(got["steps"]) == 3
    assert abs(float(got["loss"]) - float(dict(expected)["loss"])) < 1e-5
    files = [tmp_path / run / "state" / "policy" / "adapter_model.safetensors" for run in ("two", "alone")]
    ours, theirs = map(load_file, files)
    assert max((ours[key] - theirs[key]).abs().max() for key in theirs) < 1e-4
