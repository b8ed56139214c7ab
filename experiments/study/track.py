"""Logs a finished comparison to Weights & Biases; used with `--track` only."""

from __future__ import annotations

import netrc
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from w4s_gym.errors import ConfigError
from w4s_gym.journal import RunFolder
from w4s_gym.quoting import one_line
from w4s_gym.study.board import console
from w4s_gym.study.results import Results
from w4s_gym.study.table import Table


def track(results: Results, tables: Sequence[Table], folder: Path, workflow: Path) -> str:
    """Log configuration, curves, tables, plots and the best workflow.

    Without a key or a network the run is written to `<folder>/wandb` and nothing is sent; `wandb sync` sends it later.

    Returns:
        Where the run is.

    Raises:
        ConfigError: wandb is not installed.
    """
    run, where = _start(folder, folder.name, {**results.config.measured, **results.facts}, results.simulated, None)
    import wandb

    for algo in results.algos:
        run.define_metric(f"{algo}/*", step_metric=f"{algo}/calls")
    for cell in results.cells:
        for point in cell.result["curve"]:
            run.log(
                {f"{cell.algo}/calls": point["calls"]}
                | {f"{cell.algo}/seed{cell.seed}/{k}": v for k, v in point.items()}
            )
    for table in tables:
        run.log({table.title: wandb.Table(columns=table.columns, data=table.rows)})
    for plot in sorted(folder.glob("*.png")):
        run.log({plot.stem: wandb.Image(str(plot))})
    artifact = wandb.Artifact("best-workflow", type="workflow", metadata={"simulated": results.simulated})
    artifact.add_file(str(workflow))
    run.log_artifact(artifact)
    run.finish()
    return where


def _start(folder: Path, name: str, config: dict[str, Any], simulated: bool, group: str | None) -> tuple[Any, str]:
    """Start a run; returns it and where it is."""
    try:
        import wandb
    except ImportError as error:
        raise ConfigError("expected wandb for --track; install it with `pip install w4s-gym[wandb]`") from error
    online = _has_key() and os.environ.get("WANDB_MODE") not in ("offline", "disabled")

    def start(mode: Literal["online", "offline"] | None) -> Any:
        return wandb.init(
            project="w4s-gym",
            name=name,
            group=group,
            dir=str(folder),
            mode=mode,
            config=config,
            tags=["simulated"] if simulated else [],
            reinit="finish_previous",
        )

    try:
        run = start(None if "WANDB_MODE" in os.environ else "online" if online else "offline")
    except Exception as error:  # of many kinds: no network, a refused key, a server that is down
        # The run is complete: nothing of it is lost for want of a server.
        console.print(
            f"wandb cannot be reached ({one_line(str(error), 200)}); logged offline, send it with `wandb sync`"
        )
        online, run = False, start("offline")
    return run, run.url if online and run.url else str(run.dir)


def _has_key() -> bool:
    """Whether there is a key, in the environment or in the netrc file that `wandb login` writes."""
    if os.environ.get("WANDB_API_KEY"):
        return True
    try:
        return netrc.netrc().authenticators("api.wandb.ai") is not None
    except (FileNotFoundError, netrc.NetrcParseError):
        return False


def track_table(folder: RunFolder, table: Table, group: str) -> list[str]:
    """Log one run for each row of a table (a setting of a study), all in one group; offline without a key.

    Returns:
        Where the runs are.

    Raises:
        ConfigError: wandb is not installed.
    """
    places = []
    for row in table.rows:
        run, where = _start(folder.path, row[0], {**folder.config, "setting": row[0]}, folder.simulated, group)
        run.summary.update(dict(zip(table.columns, row, strict=True)))
        run.finish()
        places.append(where)
    return places
