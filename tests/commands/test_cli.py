import json
import subprocess
import sys

import pytest

import w4s_gym
from w4s_gym.cli import COMMANDS
from w4s_gym.command_line import guarded


def test_help_names_every_command_and_version_says_which(call):
    code, out, _ = call("--help")
    assert code == 0 and all(f"  {name} " in out for name in COMMANDS)
    assert call() == (0, out, "")
    assert call("--version") == (0, f"w4s-gym {w4s_gym.__version__}\n", "")


@pytest.mark.parametrize(("given", "near"), [("evl", "eval"), ("comapre", "compare"), ("lst", "list")])
def test_an_unknown_command_is_refused_with_near_names(call, given, near):
    code, _, err = call(given)
    assert code == 2 and f"did you mean '{near}'" in err


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_explains_its_options(call, name):
    code, out, _ = call(name, "--help")
    assert code == 0 and f"usage: w4s-gym {name}" in out


def test_a_misspelt_option_is_refused_with_the_right_one(call):
    code, _, err = call("eval", "x.py", "--executr", "sim:gpt-4o-mini")
    assert code == 2 and "--executor" in err


WHEEL_ONLY = """
import json, re, sys
from importlib import metadata
from importlib.machinery import PathFinder

needed, queue = set(), ["w4s-gym"]
while queue:  # what `pip install w4s-gym` brings
    name = re.sub("[-_.]+", "-", queue.pop()).lower()
    if name in needed:
        continue
    try:
        requires = metadata.requires(name) or []
    except metadata.PackageNotFoundError:  # for another Python or system
        continue
    needed.add(name)
    queue += [re.match(r"[\\w.-]+", r)[0] for r in requires if "extra ==" not in r]
owners = metadata.packages_distributions()

class Installed(PathFinder):
    @classmethod
    def find_spec(cls, name, path=None, target=None):
        mine = {re.sub("[-_.]+", "-", owner).lower() for owner in owners.get(name.partition(".")[0], ())}
        return None if mine and not mine & needed else PathFinder.find_spec(name, path, target)

sys.meta_path[sys.meta_path.index(PathFinder)] = Installed
from w4s_gym.cli import main

for arguments in json.loads(sys.argv[1]):
    try:
        main(arguments)
    except SystemExit as ended:
        print("ended", arguments[0], ended.code or 0, flush=True)
"""
"""Runs commands as if nothing were installed but the wheel and what it requires."""


def test_the_wheel_alone_does_the_page_of_the_commands(tmp_path, workflow, questions):
    """From nothing to a table and its page: no extra, no data, no network. A package that lacks is a sentence."""
    small = ["--seeds", "1", "--budget", "12", "--validation-size", "4", "--test-size", "4", "--workers", "0"]
    benchmark = f"{questions.with_suffix('.py')}:BENCHMARK"
    commands = [
        ["list"],
        ["new", str(questions)],
        ["run", str(workflow), "--env", benchmark],
        ["eval", str(workflow), "--env", benchmark, "--env-options", '{"validation_size": 4}'],
        ["compare", "--env", benchmark, "--algos", "seed", "random_edits", *small, "--run-dir", str(tmp_path / "run")],
        ["show", str(tmp_path / "run")],
        ["view", str(tmp_path / "run")],
        ["compare", "--algos", "rlao", *small, "--run-dir", str(tmp_path / "none")],
    ]
    done = subprocess.run(
        [sys.executable, "-c", WHEEL_ONLY, json.dumps(commands)], capture_output=True, text=True, cwd=tmp_path
    )
    ends = [line for line in done.stdout.splitlines() if line.startswith("ended ")]
    assert ends == [*(f"ended {name} 0" for name, *_ in commands[:-1]), "ended compare 2"], done.stderr[-3000:]
    said = " ".join((done.stdout + done.stderr).split())
    assert "rlao needs the meta-agent tiny" in said and "pip install 'w4s-gym[train]'" in said
    assert (tmp_path / "run" / "view.html").exists()
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize(("module", "extra"), [("torch", "train"), ("matplotlib", "experiments"), ("openai", "openai")])
def test_a_package_that_lacks_is_told_with_the_command_that_installs_it(capsys, lacking, module, extra):
    lacking(module)
    assert guarded(lambda: __import__(module) and 0) == 2
    assert f"pip install 'w4s-gym[{extra}]'" in capsys.readouterr().err


def test_a_module_that_no_extra_brings_is_a_fault():
    with pytest.raises(ModuleNotFoundError):
        guarded(lambda: __import__("no_such_module_at_all") and 0)
