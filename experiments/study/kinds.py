"""Which study a run folder is of."""

from __future__ import annotations

from w4s_gym.errors import ConfigError
from w4s_gym.journal import RunFolder

COMPARISONS = ("compare", "weak_for_strong")
"""Studies whose runs are comparisons: all commands read them."""

_SCRIPTS = {
    "compare": "compare_algos.py",
    "weak_for_strong": "weak_for_strong.py",
    "ablations": "ablations.py",
    "transfer": "transfer.py",
    "paper": "paper.py",
    "learners": "learners.py",
}
_MARKS = {"only": "ablations", "targets": "transfer", "experiment": "paper"}
"""Option that only one study has -> its name; for runs that do not say what they are of."""


def study_of(folder: RunFolder) -> str:
    """Return the name of the study that a run folder is of.

    Raises:
        ConfigError: it is of none that is known.
    """
    if folder.facts.get("study"):
        return str(folder.facts["study"])
    found = next((study for mark, study in _MARKS.items() if mark in folder.config), None)
    if found == "paper":
        return f"paper-{folder.config['experiment']}"
    if found is None and "algos" not in folder.config:
        raise ConfigError(f"expected the run folder of a study; {folder.path} holds something else")
    return found or "compare"


def expect_study(folder: RunFolder, *names: str) -> None:
    """Refuse the run folder of another study.

    Raises:
        ConfigError: it is of another; the message says what can read it.
    """
    found = study_of(folder)
    if found in names:
        return
    script = _SCRIPTS.get(found.partition("-")[0])
    use = f": use python experiments/{script} --report {folder.path}" if script else ""
    raise ConfigError(f"expected a run of the study {names[0]}; {folder.path} is of another study, {found}{use}")
