"""Warm-start rows of the tiny meta-agent: synthetic design states, rendered as real prompts, and drawn workflows.

The target of a row is drawn after, and independently of, its prompt: the warm start teaches how to write workflows,
not which one suits a benchmark or a state.
"""

from __future__ import annotations

from random import Random

from w4s_gym.action import format_action
from w4s_gym.algos.codec import WeightedText
from w4s_gym.algos.policies.tiny.grammar import Proposal, draw_proposal
from w4s_gym.messages import Message
from w4s_gym.prompts import feedback_message, opening_messages, repair_message
from w4s_gym.sandbox.types import ErrorReport
from w4s_gym.state import Attempt, DesignState, TaskCard

BENCHMARKS = (
    "MGSM",
    "GSM8K",
    "GSMSymbolic",
    "GSMHard",
    "GSMPlus",
    "SVAMP",
    "HumanEval",
    "MBPP",
    "DROP",
    "HotpotQA",
    "MMLUPro",
    "GPQA",
    "MATH",
    "ChainSum",
    "Custom",
)
"""Names that prompts of the warm start carry; they are never tied to a workflow."""
EXECUTORS = ("sim:gpt-4o-mini", "sim:gpt-3.5-turbo", "sim:gpt-4o", "local:smollm2-135m", "openai:gpt-4o-mini")
SEED_NAMES = ("CoT", "CoT-SC", "ProgramOfThought", "IO", "Self-Refine", "LLM-Debate", "Step-back", "Dynamic-roles")
SEED_WORKFLOWS = (
    """\
def solver(agent, task):
    messages = [{"role": "user", "content": task + "\\nThink step by step."}]
    replies = agent.call_json_format_llm(
        messages=messages, temperature=0.8, num_of_response=1, agent_role="math expert",
        return_dict_keys=["reasoning", "answer"], instructions="Requirements: reason step by step.",
    )
    return {"answer": str(replies[0]["answer"])}
""",
    """\
from collections import Counter

def solver(agent, task):
    messages = [{"role": "user", "content": f"Solve this problem.\\n\\n{task}"}]
    responses = agent.call_json_format_llm(messages=messages, temperature=0.8, num_of_response=5,
        agent_role="problem solver", return_dict_keys=["reasoning", "answer"], instructions="")
    votes = Counter(response["answer"].strip() for response in responses)
    return {"answer": votes.most_common(1)[0][0]}
""",
    """\
def solver(agent, task, entry_point):
    response = agent.call_json_format_llm(messages=[{"role": "user", "content": task}], temperature=0.3,
        num_of_response=1, agent_role="code generator", return_dict_keys=["reasoning", "code"],
        instructions="Write a Python function. Do not add tests.")[0]
    code = agent.extract_code_block(response["code"], entry_point=entry_point)
    try:
        result = agent.execute_code(code)
    except Exception as error:
        result = "0"
    return {"answer": str(result), "code": code}
""",
)
"""Hand-made workflows in another style than the grammar's, for prompts only."""
_ERRORS = (
    ("SyntaxError", "invalid syntax"),
    ("SyntaxError", "'(' was never closed"),
    ("IndentationError", "unexpected indent"),
    ("NameError", "name 'answers' is not defined"),
    ("NameError", "name 'entry_point' is not defined"),
    ("KeyError", "'answer'"),
    ("TypeError", 'can only concatenate str (not "int") to str'),
    ("TypeError", "'NoneType' object is not subscriptable"),
    ("AttributeError", "'dict' object has no attribute 'lower'"),
    ("IndexError", "list index out of range"),
    ("ValueError", "could not convert string to float: 'about 12'"),
    ("no_result", 'solver must return a dict with a non-empty "answer", got None'),
    ("timeout_wall", "the run was ended after 30 s"),
    ("NoWorkflow", "there is no ```python block; expected complete Python code that defines `solver(agent, task)`"),
)


def draw_rows(count: int, seed: int) -> list[WeightedText]:
    """Draw `count` rows (prompt, action), all of weight 1; a pure function of its arguments."""
    random = Random(seed)
    return [WeightedText(tuple(draw_messages(random)), draw_proposal(random).action, 1.0) for _ in range(count)]


def draw_messages(random: Random) -> list[Message]:
    """Draw the prompt of a decision: a bare request (it saves time), the first of a window, the second, or a repair."""
    if random.random() < 0.6:
        return [{"role": "user", "content": "improve"}]
    state = _draw_state(random)
    messages = opening_messages(state, "compact")
    if random.random() < 0.35:
        messages += _draw_turn(random, state)
    if random.random() < 0.15:
        failed = draw_proposal(random)
        messages += [
            {"role": "assistant", "content": _broken_action(random, failed)},
            repair_message(_draw_error(random, failed), random.randint(1, 3), "compact"),
        ]
    return messages


def _draw_state(random: Random) -> DesignState:
    seeds = tuple(
        Attempt(f"seed {name}", "", _draw_accuracy(random), is_seed=True)
        for name in random.sample(SEED_NAMES, random.randint(0, 4))
    )
    accuracy = _draw_accuracy(random)
    max_turns = random.choice((2, 2, 4, 10))
    card = TaskCard(
        benchmark=random.choice(BENCHMARKS),
        description="",
        answer_format="",
        metric="accuracy",
        executor=random.choice(EXECUTORS),
        simulated=True,
        max_turns=max_turns,
        is_code=False,
        example="",
    )
    workflow = random.choice(SEED_WORKFLOWS) if random.random() < 0.4 else draw_proposal(random).workflow
    best = max([accuracy, *(seed.accuracy or 0.0 for seed in seeds)])
    return DesignState(card, random.randrange(max_turns), workflow, accuracy, best, "", seeds, ())


def _draw_turn(random: Random, state: DesignState) -> list[Message]:
    """Draw an earlier turn of the same window: an action and its feedback."""
    proposal = draw_proposal(random)
    attempt = Attempt("turn 1", proposal.workflow, None if random.random() < 0.1 else _draw_accuracy(random))
    return [
        {"role": "assistant", "content": proposal.action},
        feedback_message(state, attempt, state.accuracy, "compact"),
    ]


def _draw_accuracy(random: Random) -> float:
    return random.randint(0, 128) / 128


def _draw_error(random: Random, proposal: Proposal) -> ErrorReport:
    kind, message = random.choice(_ERRORS)
    lines = proposal.workflow.splitlines()
    number = random.randrange(len(lines))
    return (
        ErrorReport(kind, message, number + 1, lines[number]) if random.random() < 0.7 else ErrorReport(kind, message)
    )


def _broken_action(random: Random, proposal: Proposal) -> str:
    """Write the action as it could have failed: one line is missing."""
    lines = proposal.workflow.splitlines()
    del lines[random.randrange(len(lines))]
    return format_action(f"Idea: {proposal.technique}.", "\n".join(lines))
