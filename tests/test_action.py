import time

from hypothesis import given
from hypothesis import strategies as st

from w4s_gym.action import MAX_WORKFLOW_CHARS, format_action, parse_action

SOLVER = 'def solver(agent, task):\n    return {"answer": "1"}'


def test_last_closed_block_that_defines_solver_counts():
    blocks = [SOLVER, f"{SOLVER}  # second", "print(1)"]
    text = "a\n" + "".join(f"```python\n{block}\n```\nb\n" for block in blocks) + "```python\ndef solver("
    parsed = parse_action(text)
    assert parsed.workflow.strip() == f"{SOLVER}  # second"
    assert parsed.analysis.startswith("a\n")


def test_problems_are_told_apart():
    assert "empty" in parse_action("  \n").problem
    assert "no ```python block" in parse_action("only words").problem
    assert "not closed" in parse_action(f"x\n```python\n{SOLVER}").problem
    assert "solver(agent, task)" in parse_action("```python\nx = 1\n```").problem
    assert "at most" in parse_action(f"```python\n{SOLVER}\n{'#' * MAX_WORKFLOW_CHARS}\n```").problem
    assert parse_action(f"```bash\n{SOLVER}\n```").workflow is None


def test_solver_must_be_at_top_level():
    assert parse_action("```python\nclass A:\n    def solver(self): pass\n```").workflow is None


@given(st.text(alphabet=st.characters(exclude_characters="`"), max_size=200))
def test_what_format_action_writes_is_read_back(analysis):
    parsed = parse_action(format_action(analysis, SOLVER))
    assert parsed.workflow.strip() == SOLVER


@given(st.text(max_size=500))
def test_any_text_is_read_without_raising(text):
    parsed = parse_action(text)
    assert (parsed.workflow is None) == bool(parsed.problem)


def test_a_megabyte_of_fences_is_read_in_linear_time():
    start = time.perf_counter()
    parse_action("```python\n" * 100_000)
    assert time.perf_counter() - start < 5
