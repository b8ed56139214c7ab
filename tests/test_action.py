import pytest
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


@pytest.mark.parametrize(
    "action",
    [
        f'why\n```python title="x"\n{SOLVER}\n```',
        f"why\n```python\n{SOLVER}\n```".replace("\n", "\r\n"),
        f"why\n```python\n{SOLVER}\n```".replace("\n", "\r"),
        f"why\n~~~python\n{SOLVER}\n~~~",
        f"why\n~~~~ {{.python .numberLines}}\n{SOLVER}\n~~~~~",
        f"why\n````Python\n{SOLVER}\n````",
        f"why\n```\n{SOLVER}\n```",
        f"why\n```python\n{SOLVER}",
        "why\n  ```py\n" + "".join(f"  {line}\n" for line in SOLVER.splitlines()) + "  ```",
        f"<think>\n```python\ndef solver(agent, task): return 0\n```\n</think>\nwhy\n```python\n{SOLVER}\n```",
        f"I would use <b>\n</think>\nwhy\n```python\n{SOLVER}\n```",
        f"why\n```python\n{SOLVER}\n```\nand not\n```python\ndef solver(agent, task:\n```",
        f"why\n```python\n{SOLVER}\n```\nrun it\n```bash\nsolver\n```\n```python\nprint(1)\n```",
    ],
)
def test_forms_in_which_models_write_a_program_are_read(action):
    parsed = parse_action(action)
    assert parsed.workflow.strip() == SOLVER
    assert parsed.analysis.startswith("why")


INSIDE = [
    'PROMPT = """Write\n```python\ndef f(): ...\n```\nonly."""\n' + SOLVER,
    'PROMPT = """Write\n```\ncode\n```"""\n' + SOLVER,
    SOLVER + "\n\nEXAMPLE = '''\n```python\ndef solver(agent, task):\n    return 2\n```\n'''",
    'PROMPT = "Think in <think>...</think> first"\n' + SOLVER,
    'A = """\n```\n"""\n' * 15 + SOLVER,
]


@pytest.mark.parametrize("source", INSIDE)
@pytest.mark.parametrize("fence", ["```", "~~~"])
def test_a_program_may_hold_fences_and_tags_in_its_own_texts(source, fence):
    assert parse_action(f"why\n{fence}python\n{source}\n{fence}").workflow.strip() == source
    assert parse_action(f"why\n{fence}python\n{source}\n{fence}\nDone.").workflow.strip() == source


@pytest.mark.parametrize("source", INSIDE)
def test_format_action_chooses_a_fence_that_the_program_does_not_hold(source):
    assert parse_action(format_action("why", source)).workflow.strip() == source


def test_a_program_that_does_not_compile_is_still_the_workflow_so_that_its_error_is_seen():
    broken = "def solver(agent, task):\n    return {"
    assert parse_action(f"```python\n{broken}\n```").workflow.strip() == broken
    assert "not closed" in parse_action(f"```python\n{broken}").problem


@pytest.mark.parametrize(
    "source",
    ["-" * 60_000 + "1", "(" * 50_000, "x" + ".a" * 40_000, "9**9**9**9", "\x00", "lambda:" * 20_000, "f(" * 3000],
)
def test_hostile_sources_are_not_compiled_in_this_process(source, monkeypatch):
    monkeypatch.setattr("builtins.compile", lambda *a, **k: pytest.fail("compiled here"))
    text = f"```python\n{SOLVER}\n```\n```python\ndef solver(a, b): pass\n{source}\n```"
    assert parse_action(text).workflow is not None


@pytest.mark.parametrize(
    "unit", ["```python\n", "```\n", "~~~\n```\n", "`", "<think>", "```python\ndef solver(\n", " \n"]
)
def test_work_grows_with_the_length_of_an_action(unit, growth):
    assert growth(lambda text: parse_action(text), unit) < 8
