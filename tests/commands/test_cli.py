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


WITHOUT_EXTRAS = """
import sys
from w4s_gym.cli import main

class Lacking:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("torch", "transformers", "openai", "matplotlib", "datasets", "yaml"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Lacking())
main(["list", "executors", "designers"])
"""


def test_listing_needs_no_extra_and_imports_none():
    done = subprocess.run([sys.executable, "-c", WITHOUT_EXTRAS], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "sim:gpt-4o-mini" in done.stdout and "rlao" in done.stdout


@pytest.mark.parametrize(("module", "extra"), [("torch", "train"), ("matplotlib", "experiments"), ("openai", "openai")])
def test_a_package_that_lacks_is_told_with_the_command_that_installs_it(capsys, lacking, module, extra):
    lacking(module)
    assert guarded(lambda: __import__(module) and 0) == 2
    assert f"pip install 'w4s-gym[{extra}]'" in capsys.readouterr().err


def test_a_module_that_no_extra_brings_is_a_fault():
    with pytest.raises(ModuleNotFoundError):
        guarded(lambda: __import__("no_such_module_at_all") and 0)
