"""What a folder of saved weights says beside them: how the policy wrote while it was trained."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from w4s_gym.errors import ConfigError
from w4s_gym.paths import user_path

_FILE = "policy.json"
_PLACES = ("", "policy", "state/policy")
"""Where the weights lie below what people call the folder: a run of `w4s-gym train`, or a cell of a comparison."""


def write_settings(folder: Path, tiny: bool, options: Mapping[str, Any]) -> None:
    """Write how a policy samples beside its weights.

    Args:
        folder: of the weights.
        tiny: whether it is the embedded meta-agent.
        options: fields of `HFConfig`, all but those that belong to the machine.
    """
    text = json.dumps({"tiny": tiny, "options": dict(options)}, indent=1)
    (folder / _FILE).write_text(text + "\n", encoding="utf-8")


def read_settings(folder: Path | str) -> tuple[bool, dict[str, Any]] | None:
    """Read what `write_settings` wrote; None where there is nothing.

    Raises:
        ConfigError: the file is damaged.
    """
    file = Path(folder) / _FILE
    if not file.is_file():
        return None
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
        return bool(found["tiny"]), dict(found["options"])
    except (ValueError, KeyError, TypeError) as error:
        raise ConfigError(f"expected how a policy samples in {file}; it is damaged: {error}") from error


def trained_folder(folder: Path | str) -> Path:
    """Return where the weights of a trained meta-agent lie.

    Args:
        folder: their folder, or that of the run or the cell that trained it.

    Raises:
        ConfigError: there is none.
    """
    root = user_path(folder)
    for place in _PLACES:
        if (root / place / _FILE).is_file():
            return root / place
    raise ConfigError(
        f"expected the folder of a trained meta-agent, or of the run that trained it; {root} has no "
        f"{', '.join(str(Path(place) / _FILE) for place in _PLACES)}. Write one with `w4s-gym train`"
    )
