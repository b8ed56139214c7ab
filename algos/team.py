"""Several processes that train one model, as `accelerate launch` starts them: one plays, all share the gradient steps.

Each holds all weights. The first process runs the program as if it were alone; the others take its gradient steps with
it. In a step each process has a share of the rows, and the gradients are summed.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from datetime import timedelta
from functools import cache
from typing import Any

import torch

from w4s_gym.errors import ConfigError


@cache
def find_team() -> Team | None:
    """Return the processes that this one trains with; None where it is alone."""
    return Team() if int(os.environ.get("WORLD_SIZE", "1")) > 1 else None


class Team:
    """Processes with the same model. What a method does, all of them do at the same time."""

    def __init__(self) -> None:
        """Join the others.

        Raises:
            ConfigError: accelerate is not installed.
        """
        try:
            from accelerate import InitProcessGroupKwargs, PartialState
        except ImportError:
            raise ConfigError(
                "expected accelerate for several processes; install it with `pip install 'w4s-gym[train]'`"
            ) from None
        on_cpu = not torch.cuda.is_available() or os.environ.get("ACCELERATE_USE_CPU", "").lower() in (
            "1",
            "true",
            "yes",
        )
        # The others wait while the first one plays, for hours where the executor is slow.
        waiting = InitProcessGroupKwargs(timeout=timedelta(days=7)).to_kwargs()
        self._state = PartialState(cpu=on_cpu, **waiting)

    @property
    def rank(self) -> int:
        """Number of this process; 0 is the one that plays."""
        return int(self._state.process_index)

    @property
    def size(self) -> int:
        """Number of processes."""
        return int(self._state.num_processes)

    def share(self, rows: Sequence[Any]) -> list[Any]:
        """Return the rows of this process; they are ordered by length, so that the shares are alike."""
        return list(rows[self.rank :: self.size])

    def order(self, what: tuple[Any, ...] | None = None) -> tuple[Any, ...]:
        """Hand an order of the first process to the others; all get it."""
        from accelerate.utils import broadcast_object_list

        return tuple(broadcast_object_list([what])[0])

    @torch.no_grad()
    def copy(self, tensors: Sequence[torch.Tensor]) -> None:
        """Overwrite tensors with those of the first process."""
        for tensor in tensors:
            torch.distributed.broadcast(tensor.data, 0)

    def sum(self, tensors: Sequence[torch.Tensor]) -> list[torch.Tensor]:
        """Return sums over the processes, of tensors of one type."""
        flat = torch.cat([tensor.flatten() for tensor in tensors])
        torch.distributed.all_reduce(flat)
        return [p.view_as(t) for p, t in zip(flat.split([t.numel() for t in tensors]), tensors, strict=True)]
