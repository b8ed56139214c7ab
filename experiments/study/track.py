"""Trackers: programs that show the curves of runs while they go on. One function starts a run of each.

A tracker gets one run for each cell (designer and seed): with the same name, group and id whenever the cell is run, so
that an interrupted one goes on in the same run.
"""

from __future__ import annotations

import netrc
import os
from collections.abc import Callable, Mapping
from contextvars import Context
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal, Protocol

from w4s_gym.errors import ConfigError
from w4s_gym.quoting import one_line
from w4s_gym.study.board import console

TrackerName = Literal["wandb", "trackio"]


@dataclass(frozen=True)
class Card:
    """What a tracker is told about a run when it starts."""

    folder: Path
    """Run folder, for files of the tracker."""
    id: str
    """The same whenever this run goes on, and no other run's."""
    name: str
    """For people."""
    group: str
    """Of all runs that belong together."""
    config: Mapping[str, Any]
    simulated: bool


class TrackedRun(Protocol):
    """A run of a tracker."""

    place: str
    """Where it can be seen."""

    def log(self, point: Mapping[str, float]) -> None:
        """Add a point of the curves; `calls` is what they are drawn over."""
        ...

    def finish(self, summary: Mapping[str, float]) -> None:
        """Add the figures of the whole run, if there are some, and end it."""
        ...


def chosen_tracker(track: bool, tracker: TrackerName) -> TrackerName | None:
    """Return the tracker that two options choose: whether to track, and by which.

    Raises:
        ConfigError: a tracker was chosen, and tracking was not.
    """
    if tracker != "wandb" and not track:
        raise ConfigError(f"expected --track beside --tracker {tracker}, or nothing is tracked")
    return tracker if track else None


def check_tracker(tracker: TrackerName) -> None:
    """Find out whether a tracker can be used, before anything is run.

    Raises:
        ConfigError: its package is not installed, or it shall send what it is given and has no key.
    """
    if find_spec(tracker) is None:
        install = f"pip install 'w4s-gym[{tracker}]'"
        raise ConfigError(f"expected the package {tracker} for --track; install it with `{install}`")
    if tracker != "wandb" or _has_key():
        return
    if os.environ.get("WANDB_MODE") == "online":
        raise ConfigError(
            "expected a key for --track, since WANDB_MODE is online; call `wandb login`, set WANDB_API_KEY, or unset "
            "WANDB_MODE to track offline"
        )
    if "WANDB_MODE" not in os.environ:
        console.print("no key of wandb: runs are tracked offline, in the run folder; send them with `wandb sync`")


def start_run(tracker: TrackerName, card: Card) -> TrackedRun:
    """Start a run of a tracker, or go on with it."""
    return _STARTS[tracker](card)


def project() -> str:
    """Return the project that runs are put into: that of `WANDB_PROJECT`, else ours."""
    return os.environ.get("WANDB_PROJECT") or "w4s-gym"


class _Wandb:
    def __init__(self, card: Card) -> None:
        import wandb

        online = _has_key() and os.environ.get("WANDB_MODE") not in ("offline", "disabled")

        def start(mode: Literal["online", "offline"] | None) -> Any:
            return wandb.init(
                project=project(),
                id=card.id,
                resume="allow",
                name=card.name,
                group=card.group,
                dir=str(card.folder),
                mode=mode,
                config=dict(card.config),
                tags=["simulated"] if card.simulated else [],
                reinit="create_new",  # cells run side by side
                settings=wandb.Settings(console="off", silent=True),
            )

        try:
            self._run = start(None if "WANDB_MODE" in os.environ else "online" if online else "offline")
        except Exception as error:  # of many kinds: no network, a refused key, a server that is down
            console.print(
                f"wandb cannot be reached ({one_line(str(error), 200)}); tracked offline, send it with `wandb sync`",
                soft_wrap=True,
            )
            online, self._run = False, start("offline")
        self.place = str(self._run.url) if online and self._run.url else str(self._run.dir)
        self._run.define_metric("calls")
        self._run.define_metric("train/*", step_metric="calls")

    def log(self, point: Mapping[str, float]) -> None:
        self._run.log(dict(point))

    def finish(self, summary: Mapping[str, float]) -> None:
        self._run.summary.update(dict(summary))
        self._run.finish()


class _Trackio:
    """Trackio tells its runs apart by their names, and keeps no figures but points: those of the whole run are one."""

    def __init__(self, card: Card) -> None:
        os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")  # its pages would report that they were opened
        import trackio

        config = {**card.config, "simulated": card.simulated}
        name = f"{card.name}-{card.id}"
        # In a context of its own, where no other run is current: `init` would end that one, and cells run side by side.
        self._run = Context().run(
            trackio.init,
            project=project(),
            name=name,
            group=card.group,
            config=config,
            resume="allow",
            embed=False,
            auto_log_cpu=False,
            auto_log_gpu=False,
        )
        self.place = f"trackio, project {project()}, run {name}"

    def log(self, point: Mapping[str, float]) -> None:
        self._run.log(dict(point))

    def finish(self, summary: Mapping[str, float]) -> None:
        if summary:
            self._run.log(dict(summary))
        self._run.finish()


_STARTS: dict[TrackerName, Callable[[Card], TrackedRun]] = {"wandb": _Wandb, "trackio": _Trackio}


def _has_key() -> bool:
    """Whether there is a key, in the environment or in the netrc file that `wandb login` writes."""
    if os.environ.get("WANDB_API_KEY"):
        return True
    try:
        return netrc.netrc().authenticators("api.wandb.ai") is not None
    except (FileNotFoundError, netrc.NetrcParseError):
        return False
