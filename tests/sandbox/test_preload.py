"""Which sources make do with the preloaded modules."""

from __future__ import annotations

import subprocess
import sys

import pytest

from w4s_gym.sandbox.inside.preload import _AT_HAND, PRELOAD, suffices


@pytest.mark.parametrize(
    "source",
    [
        "def solver(agent, task):\n    return {'answer': task}",
        "import re\nimport math as m  # short\nfrom collections import Counter, defaultdict\n    import json",
        "from collections.abc import Mapping\nimport os",
    ],
)
def test_common_imports_suffice(source):
    assert suffices("x = 1", source)


@pytest.mark.parametrize(
    "source",
    [
        "import numpy as np",
        "import re, csv",
        "import re; import csv",
        "from re import sub; import csv",
        "from csv import reader",
        "from .secret import x",
        "m = __import__('csv')",
        "import importlib\nimportlib.import_module('csv')",
        "    try: import csv\n    except ImportError: pass",
        "exec('import csv')",
        "text = 'important'",
        "task.encode('shift_jis')",
    ],
)
def test_everything_else_counts_as_more(source):
    assert not suffices("import re", source)


def test_the_modules_at_hand_can_be_imported_with_nothing_else_on_the_path():
    """What `suffices` lets through must not need a compiled module that is loaded only where all modules are."""
    code = (
        "import sys\n"
        f"for name in {sorted(PRELOAD)}: __import__(name)\n"
        "sys.path = [p for p in sys.path if not p.endswith('lib-dynload')]\n"
        "sys.path_importer_cache.clear()\n"
        f"for name in {sorted(_AT_HAND)}: __import__(name)\n"
    )
    done = subprocess.run([sys.executable, "-S", "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
