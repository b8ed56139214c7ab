"""Ray: connecting to a cluster, and environment actors, which run workflows on items on its machines.

All machines need this package, and the working directory at the same place (a shared file system).
"""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Protocol

from w4s_gym.benchmark import Item
from w4s_gym.errors import ConfigError, W4SError
from w4s_gym.options import whole_number
from w4s_gym.results import ItemResult
from w4s_gym.sandbox.types import ErrorReport

RETRIES = 3
"""How often an item is run again whose actor has died."""

Measured = tuple[ItemResult, frozenset[str]]
"""What a workflow did on an item, and what is noted beside it."""


@dataclass(frozen=True)
class ClusterOptions:
    """Environment actors on Ray, which an environment runs its items on."""

    actors: int = 2
    """Number of actors; each takes one processor, and has executor connections and a sandbox of its own."""
    address: str = ""
    """Of the cluster, as `ray.init` takes it; empty: the one that runs on this machine, else one is started on it."""

    def __post_init__(self) -> None:
        """Refuse values that cannot be used."""
        whole_number(self.actors, 1, "cluster.actors")


def connect(address: str) -> Any:
    """Connect this process to Ray, unless it is already; returns the module.

    Raises:
        ConfigError: Ray is not installed, or there is no cluster at the address.
    """
    try:
        import ray
    except ImportError:
        raise ConfigError("expected Ray for a cluster; install it with `pip install 'w4s-gym[ray]'`") from None
    if not ray.is_initialized():
        # Ray would have its processes stand back behind all others, and workflows would time out on a busy machine.
        os.environ.setdefault("RAY_worker_niceness", "0")
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # a cluster that we start reports to nobody unasked
        try:
            ray.init(address=address or None, logging_level="warning")
        except (ConnectionError, ValueError, RuntimeError) as error:
            raise ConfigError(
                f"expected a Ray cluster at {address or 'this machine'}; start one with `ray start --head`, or leave "
                f"the address out: {error}"
            ) from error
    return ray


_group: Any = None


def put_actors_into(group: Any) -> None:
    """Have the actors that this process starts take the places of a placement group of Ray, or of none."""
    global _group
    _group = group


@dataclass(frozen=True)
class Place:
    """Where a process of the cluster works: as the one that sent it its work."""

    folder: str
    environment: tuple[tuple[str, str], ...]

    @classmethod
    def here(cls) -> Place:
        """Return the place of this process: its working directory, and the variables `W4S_...`."""
        return cls(os.getcwd(), tuple((k, v) for k, v in sorted(os.environ.items()) if k.startswith("W4S_")))

    def enter(self) -> None:
        """Make it the place of this process.

        Raises:
            ConfigError: this machine has no such folder.
        """
        os.environ.update(self.environment)
        # One thread a process: the sums of matrix products do not depend on how many processes there are.
        os.environ["OMP_NUM_THREADS"] = os.environ["MKL_NUM_THREADS"] = "1"
        try:
            os.chdir(self.folder)
        except OSError as error:
            raise ConfigError(
                f"expected the working directory {self.folder} on every machine of the cluster, on a shared file "
                f"system; {os.uname().nodename} has none: {error}"
            ) from error


class ItemRunner(Protocol):
    """Runs workflows on items and grades the answers."""

    async def run(self, workflow: str, item: Item, draw: int) -> Measured:
        """Run one workflow on one item."""
        ...


class ItemActors:
    """Items on environment actors: an actor that dies costs its items, which are run again, and is replaced."""

    def __init__(self, options: ClusterOptions, make: Callable[[], ItemRunner], *, name: str) -> None:
        """Start the actors.

        Args:
            options: how many and where.
            make: makes what an actor runs items with; is pickled.
            name: of the benchmark, for messages.

        Raises:
            ConfigError: there is no cluster.
        """
        self._ray = connect(options.address)
        place = Place.here()
        where = {}
        if _group is not None:
            from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

            where["scheduling_strategy"] = PlacementGroupSchedulingStrategy(_group)
        kind = self._ray.remote(num_cpus=1, max_restarts=-1, max_task_retries=RETRIES, **where)(_Actor)
        self._actors = [kind.remote(place, make) for _ in range(options.actors)]
        self._in_flight = [0] * options.actors
        self._name = name

    async def run(self, workflow: str, item: Item, draw: int) -> Measured:
        """Run a workflow on an item on the actor that has least to do."""
        index = min(range(len(self._actors)), key=self._in_flight.__getitem__)
        self._in_flight[index] += 1
        reference = self._actors[index].run.remote(workflow, item, draw)
        try:
            return await _value(reference)
        except self._ray.exceptions.RayTaskError as error:
            if isinstance(error.cause, W4SError):
                raise error.cause from error
            raise
        except self._ray.exceptions.RayError as error:
            report = ErrorReport("ActorDied", f"the actor of {self._name} died {RETRIES + 1} times: {error}"[:500])
            return ItemResult(item.id, "infrastructure", 0.0, error=report), frozenset()
        finally:
            self._in_flight[index] -= 1

    def close(self) -> None:
        """End the actors and what they started; may be called twice."""
        for actor in self._actors:
            self._ray.kill(actor)
        self._actors = []


def _value(reference: Awaitable[Measured]) -> Awaitable[Measured]:
    """Ray's references say nothing about their type."""
    return reference


class _Actor:
    """What runs on the cluster."""

    def __init__(self, place: Place, make: Callable[[], ItemRunner]) -> None:
        self._place, self._make = place, make
        self._items: ItemRunner | None = None

    async def run(self, workflow: str, item: Item, draw: int) -> Measured:
        if self._items is None:  # not in the constructor: there, Ray would tell what is wrong as the actor's death
            self._place.enter()
            self._items = self._make()
        return await self._items.run(workflow, item, draw)
