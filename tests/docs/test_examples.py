"""Every Python block and every shell command of README and docs runs; long ones in their smallest form."""

from __future__ import annotations

import ast
import inspect
import os
import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from sybil import Document, Example, Sybil
from sybil.parsers.markdown import CodeBlockParser, PythonCodeBlockParser, SkipParser

from w4s_gym.env import WorkflowDesignEnv
from w4s_gym.sandbox import Sandbox

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
LONG = ("commands", "comparison", "training")
"""Pages whose examples take longest."""

STUDY = "--seeds 1 --budget 20 --validation-size 4 --test-size 4 --design-episodes 1 --design-turns 1 --workers 0"
ONLY_OPTIONS = "--help"
SMALLEST = {
    "compare_algos.py": f"{STUDY} --curve-turns 0",
    "ablations.py": STUDY,
    "transfer.py": f"{STUDY} --train W4S-GSMSymbolic-v0 --targets W4S-ChainSum-v0",
    "train.py": "--iterations 1 --candidates 2",
}
"""Script -> options that make it short; they stand behind those of the page, and the last value of an option holds.

Scripts that are not listed (they need benchmark files, a real model or minutes) only read their options: their own
tests run them."""
AGAIN = {"compare_algos.py": "--plan"}
"""Script -> what more it is given when the page has run it before: its options, designers and environment are then
tried as before a run, and its cost is measured."""
INSTALLS = ("python3 -m venv", ". .venv", "pip install", "bash .ci/check", "pre-commit")


def run_shell(example: Example) -> None:
    """Run the commands of a block one by one in the page's folder."""
    for line in example.parsed.replace("\\\n", " ").splitlines():
        for command in re.split(r"\s&&\s", line):
            words = shlex.split(command, comments=True)
            if words:
                run_command(words, example.namespace["tmp"], example.namespace.setdefault("scripts", set()))


def run_command(words: list[str], folder: Path, scripts: set[str]) -> None:
    """Run one command of the documentation, or the smallest form of it; `scripts` has the names of those that ran."""
    if shlex.join(words).startswith(INSTALLS):  # CI itself runs these (.ci/run, .ci/installs); here: do they exist?
        check_installation(words)
        return
    environment = {**os.environ, "WANDB_MODE": "offline"}
    while re.fullmatch(r"\w+=.*", words[0]):
        name, _, value = words[0].partition("=")
        environment.setdefault(name, value)
        words = words[1:]
    if words[0] == "w4s-gym":
        words = ["-m", "w4s_gym", *words[1:]]
    else:
        assert words[0] == "python", f"expected `python ...` or `w4s-gym ...`; got {words}"
        words = words[1:]
        if words[0].startswith("experiments/"):
            assert (ROOT / words[0]).is_file(), f"the documentation names {words[0]}, which does not exist"
            script = Path(words[0]).name
            smallest = SMALLEST.get(script, ONLY_OPTIONS) + (f" {AGAIN.get(script, '')}" if script in scripts else "")
            scripts.add(script)
            if any(word.endswith(".yaml") for word in words):  # a big model: its file is read, nothing is trained
                smallest = ONLY_OPTIONS
            if "--env" in words and "W4S_DATA_DIR" not in environment:  # its benchmark needs files that are not here
                smallest += " --env W4S-GSMSymbolic-v0"
            words = [str(ROOT / words[0]), *words[1:], *shlex.split(smallest)]
    words = [str(ROOT / word) if word.startswith("experiments/") else word for word in words]
    done = subprocess.run(
        [sys.executable, *words], cwd=folder, env=environment, capture_output=True, text=True, timeout=900
    )
    assert done.returncode == 0, f"{shlex.join(words)}\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}"


def check_installation(words: list[str]) -> None:
    """Check that the extras and scripts of an installation command exist."""
    known = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    for extras in re.findall(r"\[([\w,]+)\]", shlex.join(words)):
        assert set(extras.split(",")) <= set(known), f"{words}: no such extra"
    if words[0] == "bash":
        assert (ROOT / words[1]).is_file()


def check_signatures(example: Example) -> None:
    """Compare a sketch of a class (`pyi`) with the class of that name."""
    known = {"WorkflowDesignEnv": WorkflowDesignEnv, "Sandbox": Sandbox}
    for sketch in ast.parse(example.parsed).body:
        assert isinstance(sketch, ast.ClassDef)
        for member in sketch.body:
            if isinstance(member, ast.FunctionDef | ast.AsyncFunctionDef):
                function = getattr(known[sketch.name], member.name)
                assert inspect.iscoroutinefunction(function) == isinstance(member, ast.AsyncFunctionDef), member.name
                shown = [argument.arg for argument in member.args.args]
                assert shown == list(inspect.signature(function).parameters), f"{sketch.name}.{member.name}"


def parse(page: Path, folder: Path) -> Document:
    """Read a page; a block that begins with the name of a Python file is put there, for what stands below it."""
    shells = (CodeBlockParser(language, run_shell) for language in ("bash", "sh"))
    sketches = CodeBlockParser("pyi", check_signatures)
    document = Sybil([PythonCodeBlockParser(), sketches, *shells, SkipParser()]).parse(page)
    document.namespace["tmp"] = folder
    for name, block in re.findall(r"```python\n# (\w+\.py)\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL):
        (folder / name).write_text(block, encoding="utf-8")
    return document


@pytest.mark.parametrize(
    "page",
    [pytest.param(page, id=page.stem, marks=[pytest.mark.long] if page.stem in LONG else []) for page in PAGES],
)
def test_examples_of_the_page_run(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    for example in parse(page, tmp_path).examples():
        example.evaluate()


def test_every_block_of_the_pages_is_of_a_kind_that_is_run() -> None:
    for page in PAGES:
        kinds = set(re.findall(r"^```(\w+)$", page.read_text(encoding="utf-8"), re.MULTILINE))
        assert kinds <= {"python", "bash", "pyi", "text", "json", "yaml", "toml"}, page


@pytest.mark.parametrize(
    ("block", "error"),
    [
        ("```python\nimport w4s_gym\nw4s_gym.no_such_name\n```\n", AttributeError),
        ("```bash\nw4s-gym doctor --no-such-option\n```\n", AssertionError),
        ("```bash\npython experiments/no_such_script.py\n```\n", AssertionError),
        ("```bash\npip install 'w4s-gym[no_such_extra]'\n```\n", AssertionError),
        ("```pyi\nclass Sandbox:\n    def report(self, no_such_argument): ...\n```\n", AssertionError),
    ],
)
def test_a_false_example_fails(block: str, error: type[Exception], tmp_path: Path) -> None:
    (tmp_path / "page.md").write_text(block)
    with pytest.raises(error):
        for example in parse(tmp_path / "page.md", tmp_path).examples():
            example.evaluate()
