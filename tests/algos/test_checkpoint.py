"""A saved state changes as one: after a kill at any moment there is the old one or the new one, whole."""

import os
import sys

import pytest
import torch

from w4s_gym.algos import checkpoint
from w4s_gym.algos.base import Batch
from w4s_gym.algos.grpo import GRPO
from w4s_gym.algos.policies.hf import HFConfig, HFPolicy
from w4s_gym.algos.rlao import RLAO
from w4s_gym.algos.trajectory import Row

TOUCHES = {"open", "os.rename", "os.remove", "os.rmdir", "os.mkdir", "os.listdir", "os.scandir"}


def killed_at(step, work):
    """Do `work` in a child process that ends without a word at its `step`-th access to a file; whether it got there."""
    child = os.fork()
    if child == 0:
        left = step

        def hook(event, _):
            nonlocal left
            if event in TOUCHES:
                left -= 1
                if left < 0:
                    os._exit(9)

        sys.addaudithook(hook)
        try:
            work()
        finally:
            os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9


def write(folder, number):
    with checkpoint.saving(folder) as scratch:
        (scratch / "weights").mkdir()
        (scratch / "weights" / "part").write_text(f"weights {number}")
        (scratch / "progress").write_text(f"progress {number}")


def read(folder):
    checkpoint.settle(folder)
    names = sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))
    return names, (folder / "weights" / "part").read_text(), (folder / "progress").read_text()


def test_a_kill_at_any_moment_leaves_one_whole_state(tmp_path):
    found = []
    for step in range(200):
        folder = tmp_path / str(step)
        write(folder, 1)
        (folder / "notes").write_text("mine")
        killed = killed_at(step, lambda folder=folder: write(folder, 2))
        names, *parts = read(folder)
        assert names == ["notes", "progress", "weights", "weights/part"]
        assert parts in (["weights 1", "progress 1"], ["weights 2", "progress 2"])
        found.append(parts[0])
        if not killed:
            break
    assert found == sorted(found) and found[0] == "weights 1" and found[-1] == "weights 2" and len(found) > 10


def test_a_kill_while_work_is_finished_is_finished_the_next_time(tmp_path):
    for step in range(50):
        folder = tmp_path / str(step)
        write(folder, 1)
        write(folder / "new", 2)
        (folder / "new").rename(folder / ".saved")  # killed right after the state was declared whole
        killed = killed_at(step, lambda folder=folder: checkpoint.settle(folder))
        assert read(folder)[1:] == ("weights 2", "progress 2")
        if not killed:
            break
    assert step > 3


def test_the_first_state_of_a_folder_is_there_whole_or_not_at_all(tmp_path):
    assert killed_at(4, lambda: write(tmp_path / "new", 1))
    checkpoint.settle(tmp_path / "new")
    assert list((tmp_path / "new").iterdir()) == []


def test_an_error_while_saving_changes_nothing(tmp_path):
    write(tmp_path, 1)
    with pytest.raises(OSError, match="full"), checkpoint.saving(tmp_path) as scratch:
        (scratch / "progress").write_text("progress 2")
        raise OSError("disk full")
    assert read(tmp_path) == (["progress", "weights", "weights/part"], "weights 1", "progress 1")


def rows(number):
    texts = ("left left", "right right", "up up")
    context = ({"role": "user", "content": "improve"},)
    rewards = (1.0, 0.0, 0.5)
    made = [
        Row(context, t, r, r, "design", "evaluated", False, "X", "r/0", number, 0, i, True, "tiers", new_best=r == 1.0)
        for i, (t, r) in enumerate(zip(texts, rewards, strict=True))
    ]
    return Batch(made, "", 0.0)


@pytest.mark.parametrize("kind", [RLAO, GRPO])
def test_a_training_run_goes_on_with_the_weights_of_its_number_of_updates(kind, random_llm, tmp_path):
    def fresh():
        agent = HFPolicy(random_llm, config=HFConfig(max_new_tokens=8))
        return agent, kind.of_options(agent, {"candidates": 3, "learning_rate": 5e-3})

    agent, algorithm = fresh()
    after, saved = {}, 0
    other, resumed = fresh()
    for update, kills in ((1, ()), (2, (0, 3, 8, 20)), (3, (30, 40, 45)), (4, (50, 55, 60, 10_000))):
        algorithm.update(rows(update))
        after[update] = torch.cat([p.detach().flatten() for p in agent.model.parameters()])
        for step in kills or (10_000,):
            killed_at(step, lambda: algorithm.save(tmp_path))
            resumed.load(tmp_path)
            saved, before = resumed.progress.updates, saved
            assert before <= saved <= update
            loaded = torch.cat([p.detach().flatten() for p in other.model.parameters()])
            assert torch.equal(loaded, after[saved])
    assert resumed.progress == algorithm.progress and saved == 4


def test_lines_are_set_aside_and_not_lost(tmp_path):
    file = tmp_path / "rows.jsonl"
    checkpoint.set_aside(file, lambda line: True)
    assert list(tmp_path.iterdir()) == []
    file.write_bytes(b"1\n2\n3\n")
    checkpoint.set_aside(file, lambda line: int(line) > 3)
    assert [path.name for path in tmp_path.iterdir()] == ["rows.jsonl"]
    checkpoint.set_aside(file, lambda line: int(line) > 1)
    assert (file.read_bytes(), (tmp_path / "rows.unsaved.jsonl").read_bytes()) == (b"1\n", b"2\n3\n")
