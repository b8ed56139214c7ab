import sys
from pathlib import Path

# Experiments are scripts, not a package: they are run from their folder and import their helpers by bare name.
sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "experiments"))
