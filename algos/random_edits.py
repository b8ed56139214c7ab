"""Random edits of workflows: the mutations behind the baseline that needs no meta-agent."""

from __future__ import annotations

import ast
from collections.abc import Callable
from random import Random

TEMPERATURES = (0.0, 0.3, 0.5, 0.8, 1.0)
SAMPLES = (1, 3, 5, 7)
ROLES = ("careful expert", "patient teacher", "strict critic", "senior programmer", "task solver")
HINTS = (
    "Think step by step.",
    "Check every step before you answer.",
    "List the given facts first.",
    "Solve it in two different ways and compare.",
    "Answer briefly.",
)

_VOTE = '''

def solver(agent, task{entry}):
    """Vote over {runs} runs."""
    answers = []
    for _ in range({runs}):
        try:
            answers.append(str(single(agent, task{entry})["answer"]).strip())
        except Exception:
            continue
    answers = [answer for answer in answers if answer] or [""]
    return {{"answer": max(answers, key=answers.count)}}
'''

_REVIEW = '''

def solver(agent, task{entry}):
    """Let a critic see the answer and correct it."""
    answer = str(single(agent, task{entry})["answer"])
    reply = agent.call_json_format_llm(
        messages=[{{"role": "user", "content": f"{{task}}\\n\\nProposed answer: {{answer}}"}}],
        temperature={temperature},
        agent_role="strict critic",
        return_dict_keys=["reasoning", "answer"],
        instructions="Check the proposed answer. Give the correct final answer in the same form.",
    )[0]
    return {{"answer": str(reply["answer"]).strip() or answer}}
'''


def random_edit(workflow: str, random: Random) -> str:
    """Make one random edit; a workflow on which the drawn edit has nothing to change gets another one.

    Args:
        workflow: Python source that defines `solver` and compiles.
        random: source of all choices.

    Returns:
        The edited source; comments are lost.
    """
    edits = list(_EDITS)
    random.shuffle(edits)
    for edit in edits:
        tree = ast.parse(workflow)
        edited = edit(tree, random)
        if edited is not None and edited.strip() != ast.unparse(ast.parse(workflow)).strip():
            return edited
    return workflow


def _set_keyword(name: str, choices: tuple[float | int | str, ...]) -> Callable[[ast.Module, Random], str | None]:
    """Make an edit that sets one constant keyword argument somewhere in the workflow."""

    def edit(tree: ast.Module, random: Random) -> str | None:
        places = [k for k in ast.walk(tree) if isinstance(k, ast.keyword) and k.arg == name]
        places = [k for k in places if isinstance(k.value, ast.Constant)]
        if not places:
            return None
        random.choice(places).value = ast.Constant(random.choice(choices))
        return ast.unparse(tree)

    return edit


def _add_hint(tree: ast.Module, random: Random) -> str | None:
    """Put a hint in front of a constant text of `instructions`."""
    places = [k for k in ast.walk(tree) if isinstance(k, ast.keyword) and k.arg == "instructions"]
    if not places:
        return None
    place, hint = random.choice(places), random.choice(HINTS)
    if isinstance(place.value, ast.Constant) and isinstance(place.value.value, str):
        place.value = ast.Constant(f"{hint} {place.value.value}")
    else:
        place.value = ast.BinOp(ast.Constant(f"{hint} "), ast.Add(), place.value)
    return ast.unparse(ast.fix_missing_locations(tree))


def _toggle_reasoning(tree: ast.Module, random: Random) -> str | None:
    """Ask for the reasoning before the answer, or no longer."""
    lists = [
        k.value
        for k in ast.walk(tree)
        if isinstance(k, ast.keyword) and k.arg == "return_dict_keys" and isinstance(k.value, ast.List)
    ]
    if not lists:
        return None
    keys = random.choice(lists)
    names = [e.value for e in keys.elts if isinstance(e, ast.Constant)]
    if "reasoning" not in names:
        keys.elts.insert(0, ast.Constant("reasoning"))
    elif _reads(tree, "reasoning") or len(names) == 1:
        return None
    else:
        keys.elts = [e for e in keys.elts if not (isinstance(e, ast.Constant) and e.value == "reasoning")]
    return ast.unparse(tree)


def _wrap(template: str) -> Callable[[ast.Module, Random], str | None]:
    """Make an edit that calls the workflow as `single` from a new `solver`."""

    def edit(tree: ast.Module, random: Random) -> str | None:
        solver = next((n for n in tree.body if isinstance(n, ast.FunctionDef) and n.name == "solver"), None)
        taken = any(isinstance(n, ast.FunctionDef) and n.name == "single" for n in tree.body)
        if solver is None or taken:
            return None
        solver.name = "single"
        entry = ", entry_point" if len(solver.args.args) > 2 else ""
        values = {"runs": random.choice((3, 5)), "temperature": random.choice(TEMPERATURES), "entry": entry}
        return ast.unparse(tree) + "\n" + template.format(**values)

    return edit


def _reads(tree: ast.Module, key: str) -> bool:
    """Whether a value is read by this key."""
    return any(
        isinstance(n, ast.Subscript) and isinstance(n.slice, ast.Constant) and n.slice.value == key
        for n in ast.walk(tree)
    )


_EDITS: tuple[Callable[[ast.Module, Random], str | None], ...] = (
    _set_keyword("temperature", TEMPERATURES),
    _set_keyword("num_of_response", SAMPLES),
    _set_keyword("agent_role", ROLES),
    _add_hint,
    _toggle_reasoning,
    _wrap(_VOTE),
    _wrap(_REVIEW),
)
