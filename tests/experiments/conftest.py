import sys
from pathlib import Path

from tests.study.conftest import grammar_policy, old_run  # noqa: F401  (fixtures)

# Scripts are no package: they are run from their folder and import each other by bare name.
sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "experiments"))
