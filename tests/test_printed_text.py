"""Texts of users and of libraries are printed as they are: nothing in them is markup."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SOURCES = [path for folder in ("w4s_gym", "algos", "envs", "experiments") for path in (ROOT / folder).rglob("*.py")]
WRITERS = re.compile(r"\b(?:Console|TextColumn)\((?:[^()]|\([^()]*\))*\)")


@pytest.mark.parametrize("path", [p for p in SOURCES if "rich" in p.read_text()], ids=lambda p: p.name)
def test_whatever_prints_takes_no_text_for_markup(path):
    writers = [
        w for w in WRITERS.findall(path.read_text()) if w != "Console()" or "Console().width" not in path.read_text()
    ]
    assert [w for w in writers if "markup=False" not in w] == []


@pytest.mark.parametrize("name", ["no[/b]", "w4s-gym[hub]", "[red]x"])
def test_a_path_with_brackets_is_printed_as_it_is(tmp_path, name):
    command = [sys.executable, str(ROOT / "experiments" / "compare_algos.py"), "--report", str(tmp_path / name)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert name in done.stdout + done.stderr and "MarkupError" not in done.stderr
