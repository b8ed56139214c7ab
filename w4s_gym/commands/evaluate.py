"""`w4s-gym eval`: how good a workflow is, what it costs, and how it fails."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import tyro

from w4s_gym.command_line import Options
from w4s_gym.commands.opening import check_workflow, open_environment, read_workflow
from w4s_gym.env import WorkflowDesignEnv
from w4s_gym.results import Evaluation


@dataclass(frozen=True)
class Eval:
    """Measure a workflow on the validation items of a benchmark, or on its test items."""

    file: tyro.conf.Positional[Path]
    """Python file that defines `solver`."""
    env: str = "W4S-GSMSymbolic-v0"
    """Environment id, or `file.py:Name` of a benchmark of yours."""
    executor: str = "sim:gpt-3.5-turbo"
    """What the workflow calls: `sim:<profile>`, `openai:<model>`, `local:<model>` or `file.py:Class`."""
    test: bool = False
    """Measure on the test items; do it once, when nothing is chosen any more."""
    draw: int = 0
    """Which draw of the executor's randomness."""
    env_options: Options = field(default_factory=dict)
    """Further options of `gym.make`, for instance `{"validation_size": 32, "budget": {"dollars": 1}}`."""
    json: bool = False
    """Print JSON: figures and the result of every item."""

    def run(self) -> int:
        """Measure and print."""
        source = read_workflow(self.file)
        env = open_environment(self.env, self.executor, self.env_options)
        try:
            check_workflow(env, source, self.file)
            measure = env.evaluate_test if self.test else env.evaluate_workflow
            evaluation = measure(source, self.draw)
            report = _report(env, evaluation, "test" if self.test else "validation")
            print(json.dumps(report, ensure_ascii=False, indent=1) if self.json else _text(report, evaluation))
        finally:
            env.close()
        return 0


def _report(env: WorkflowDesignEnv, evaluation: Evaluation, part: str) -> dict[str, Any]:
    from w4s_gym.study.stats import wilson

    interval = wilson(sum(r.score for r in evaluation.scored), len(evaluation.scored))
    items = [
        {
            "id": r.item_id,
            "status": r.status,
            "score": r.score,
            # Owners of confidential benchmarks ask that nothing of an item is shown.
            "error": "" if r.error is None or env.benchmark.confidential else r.error.text(),
        }
        for r in evaluation.items
    ]
    return {
        "benchmark": env.benchmark.name,
        "part": part,
        "executor": env.executor.name,
        "simulated": env.executor.simulated,
        "metric": env.benchmark.metric,
        "score": interval.value,
        "interval": [interval.low, interval.high],
        "measured": len(evaluation.scored),
        "planned": evaluation.planned,
        "usage": asdict(evaluation.usage),
        "statuses": evaluation.statuses,
        "notes": list(evaluation.notes),
        "items": items,
    }


def _text(report: dict[str, Any], evaluation: Evaluation) -> str:
    mark = " (simulated)" if report["simulated"] else ""
    low, high = report["interval"]
    usage = evaluation.usage
    items = max(1, len(evaluation.items))
    price = "price unknown" if usage.dollars is None else f"${usage.dollars:.4f}"
    lines = [
        f"{report['benchmark']}, {report['measured']} {report['part']} items, executor {report['executor']}{mark}",
        f"{report['metric']}{mark}: {100 * report['score']:.1f}% [{100 * low:.1f}, {100 * high:.1f}] (Wilson, 95%)",
        f"cost{mark}: {usage.calls:,} calls ({usage.calls / items:.1f} an item), {usage.tokens:,} tokens, {price}",
    ]
    for name, share in usage.by_executor.items():
        lines.append(f"  {name}: {share.calls:,} calls, {share.tokens:,} tokens")
    bad = {status: count for status, count in report["statuses"].items() if status != "ok"}
    wrong = sum(r.status == "ok" and r.score < 1 for r in evaluation.items)
    lines.append(f"failures: {wrong} wrong" + "".join(f", {count} {status}" for status, count in sorted(bad.items())))
    causes = Counter(item["error"].strip().splitlines()[-1] for item in report["items"] if item["error"].strip())
    lines += [f"  {count} x {cause[:200]}" for cause, count in causes.most_common(5)]
    lines += [f"note: {note}" for note in report["notes"]]
    return "\n".join(lines)
