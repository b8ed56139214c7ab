"""`w4s-gym run`: one question answered by a workflow."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import tyro

from w4s_gym.command_line import Options
from w4s_gym.commands.opening import read_workflow


@dataclass(frozen=True)
class Run:
    """Answer a question with a workflow."""

    file: tyro.conf.Positional[Path]
    """Python file that defines `solver`."""
    question: tyro.conf.Positional[str] = ""
    """The question; without one, a validation item of the benchmark."""
    env: str = "W4S-GSMSymbolic-v0"
    """Environment id, or `file.py:Name`: a simulated executor knows the answers to its questions only."""
    executor: str = "sim:gpt-3.5-turbo"
    """What the workflow calls: `sim:<profile>`, `openai:<model>`, `local:<model>` or `file.py:Class`."""
    executor_config: Options = field(default_factory=dict)
    """Options of the executor, for instance `{"base_url": "http://..."}`."""
    entry_point: str | None = None
    """Code benchmarks: name of the function to write."""

    def run(self) -> int:
        """Answer and print."""
        from w4s_gym.standalone import answer_text

        source, question = read_workflow(self.file), self.question or None
        print(answer_text(source, question, self.env, self.executor, self.executor_config, self.entry_point))
        return 0
