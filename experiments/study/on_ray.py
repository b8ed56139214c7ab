"""Processes of a Ray cluster that run jobs."""

from __future__ import annotations

import queue
import threading
import traceback
from collections.abc import Iterator
from typing import Any

from w4s_gym.cluster import Place, connect, put_actors_into
from w4s_gym.errors import ConfigError
from w4s_gym.study.jobs import PROCESS_DIED, Failure, Job, Message, attempt
from w4s_gym.study.notices import Notice


class RayCrew:
    """A task of Ray for each job; a task whose process or machine is lost is started again elsewhere."""

    attempts = 3

    def __init__(self, address: str = "", *, actors: int = 0, gpus: float = 0.0) -> None:
        """Connect.

        Args:
            address: of the cluster; empty: the one that runs on this machine, else one is started on it.
            actors: environment actors of each job; their processors are kept for them from the job's start on.
            gpus: GPUs of each job.

        Raises:
            ConfigError: Ray is not installed, there is no cluster at the address, or a job would never fit into it.
        """
        self._ray = connect(address)
        self._place = Place.here()
        self._actors = actors
        self._gpus = gpus
        there = self._ray.cluster_resources()
        if there.get("CPU", 0) < 1 + actors or there.get("GPU", 0) < gpus:
            raise ConfigError(
                f"expected a cluster with {1 + actors} processors and {gpus:g} GPUs for a cell (one of its own, "
                f"one for each of --actors {actors}); it has {there.get('CPU', 0):g} and {there.get('GPU', 0):g}"
            )
        self._task = self._ray.remote(num_cpus=1, num_gpus=gpus, num_returns="streaming", max_retries=0)(_serve)
        self._running: dict[Any, tuple[Job, Any]] = {}

    def start(self, job: Job) -> None:
        """Have a process run a job, as soon as the cluster has room for it."""
        options: dict[str, Any] = {}
        group = None
        if self._actors:
            from ray.util.placement_group import placement_group
            from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

            group = placement_group(
                [{"CPU": 1, **({"GPU": self._gpus} if self._gpus else {})}, *[{"CPU": 1}] * self._actors]
            )
            options["scheduling_strategy"] = PlacementGroupSchedulingStrategy(group, placement_group_bundle_index=0)
        self._running[self._task.options(**options).remote(job, self._place, group)] = (job, group)

    def wait(self) -> Iterator[tuple[Job, Message]]:
        """Wait until at least one running job has told something."""
        ready, _ = self._ray.wait(list(self._running), num_returns=1)
        for told in ready:
            job = self._running[told][0]
            message: Message
            try:
                message = self._ray.get(next(told))
            except self._ray.exceptions.RayTaskError as error:  # before the job began
                message = Failure(type(error.cause).__name__, str(error.cause), str(error))
            except self._ray.exceptions.RayError as error:
                message = Failure(PROCESS_DIED, f"its process on the cluster ended: {error}", "")
            if not isinstance(message, Notice):
                self._end(told)
            yield job, message

    def close(self) -> None:
        """End all processes, and with them what they started."""
        for told in list(self._running):
            self._ray.cancel(told, force=True)
            self._end(told)

    def _end(self, told: Any) -> None:
        _, group = self._running.pop(told)
        if group is not None:
            from ray.util.placement_group import remove_placement_group

            remove_placement_group(group)


def _serve(job: Job, place: Place, group: Any) -> Iterator[Message]:
    """Run a job, and its actors in a placement group; yields how far it is, then its end."""
    place.enter()
    put_actors_into(group)
    messages: queue.SimpleQueue[Message] = queue.SimpleQueue()

    def run() -> None:
        try:
            messages.put(attempt(job, messages.put))
        except BaseException as error:  # this thread is all that the job has
            messages.put(Failure(type(error).__name__, str(error), traceback.format_exc()))

    threading.Thread(target=run, name="w4s-cell", daemon=True).start()
    while True:
        message = messages.get()
        yield message
        if not isinstance(message, Notice):
            return
