import json
import sys

import pytest

from w4s_gym.cli import main

WORKFLOW = """
def solver(agent, task):
    text = agent.call_llm(messages=[{"role": "user", "content": task}], temperature=0.0)
    return {"answer": agent.extract_answer_str(text[0] if isinstance(text, list) else text)}
"""


@pytest.fixture
def call(capsys):
    """Run the command line; returns (exit code, standard output, standard error)."""

    def run(*arguments):
        with pytest.raises(SystemExit) as ended:
            main([str(argument) for argument in arguments])
        code = ended.value.code
        printed = capsys.readouterr()
        if isinstance(code, str):  # what the interpreter prints for such an end
            return 1, printed.out, printed.err + code
        return code or 0, printed.out, printed.err

    return run


@pytest.fixture
def workflow(tmp_path):
    (tmp_path / "workflow.py").write_text(WORKFLOW)
    return tmp_path / "workflow.py"


@pytest.fixture
def questions(tmp_path):
    """A JSONL file of 40 sums."""
    rows = [{"question": f"What is {i} + {3 * i + 1}?", "answer": 4 * i + 1} for i in range(40)]
    (tmp_path / "my_task.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return tmp_path / "my_task.jsonl"


@pytest.fixture
def lacking(monkeypatch):
    """Make modules look as if they were not installed."""

    def remove(*names):
        for name in names:
            for module in [m for m in sys.modules if m == name or m.startswith(f"{name}.")]:
                monkeypatch.delitem(sys.modules, module)
            monkeypatch.setitem(sys.modules, name, None)

    return remove
