"""Workflows for a real executor of this machine: what `check.py` records and the simulator has to predict."""

from __future__ import annotations

_HEAD = '''
from collections import Counter

RULE = "Give the final answer as a number only."
EXPRESSION = "Write only the arithmetic expression, do not compute it."
EXAMPLES = [
    ("Tom has 6 pens and buys 3 more. How many pens does Tom have now?", "6 + 3", "9"),
    ("Eva has 5 boxes with 4 eggs in each. How many eggs does Eva have?", "5 * 4", "20"),
]


def user(text):
    return {"role": "user", "content": text}


def ask(agent, messages, keys, instructions=RULE, tokens=48, n=1, temperature=0.0):
    """Ask for JSON replies."""
    return agent.call_json_format_llm(
        messages=messages, return_dict_keys=keys, instructions=instructions, temperature=temperature,
        max_completion_tokens=tokens, num_of_response=n,
    )


def say(agent, text, instructions=RULE, tokens=32, n=1, temperature=0.0):
    """Ask for plain texts; return the last number of each."""
    texts = agent.call_llm(
        messages=[user(text)], instructions=instructions, temperature=temperature,
        max_completion_tokens=tokens, num_of_response=n,
    )
    return [agent.extract_answer_str(text) for text in texts]


def compute(agent, expression):
    """Run an arithmetic expression; an empty answer if it is none."""
    try:
        return str(agent.execute_code(str(expression).split("=")[0].strip()))
    except Exception:
        return ""


def most(answers):
    return Counter(a for a in answers if a).most_common(1)[0][0] if any(answers) else ""

'''

_BODIES = {
    "plain": """
def solver(agent, task):
    return {"answer": say(agent, task)[0]}
""",
    "plain, step by step": """
def solver(agent, task):
    return {"answer": say(agent, task, "Think step by step. " + RULE, tokens=72)[0]}
""",
    "plain, vote of 3": """
def solver(agent, task):
    return {"answer": most(say(agent, task, n=3, temperature=0.6))}
""",
    "JSON answer": """
def solver(agent, task):
    return {"answer": ask(agent, [user(task)], ["answer"])[0]["answer"]}
""",
    "JSON reasoning, answer": """
def solver(agent, task):
    return {"answer": ask(agent, [user(task)], ["reasoning", "answer"], "Think step by step. " + RULE, 96)[0]["answer"]}
""",
    "JSON answer, examples": """
def solver(agent, task):
    turns = [m for q, _, a in EXAMPLES for m in (user(q), {"role": "assistant", "content": '{"answer": "' + a + '"}'})]
    return {"answer": ask(agent, [*turns, user(task)], ["answer"])[0]["answer"]}
""",
    "expression": """
def solver(agent, task):
    return {"answer": compute(agent, ask(agent, [user(task)], ["expression"], EXPRESSION)[0]["expression"])}
""",
    "expression, examples": """
def solver(agent, task):
    turns = [
        m for q, e, _ in EXAMPLES for m in (user(q), {"role": "assistant", "content": '{"expression": "' + e + '"}'})
    ]
    return {"answer": compute(agent, ask(agent, [*turns, user(task)], ["expression"], EXPRESSION)[0]["expression"])}
""",
    "function": """
def solver(agent, task):
    rule = "Write a Python function solution() that returns the answer."
    code = ask(agent, [user(task)], ["code"], rule, 72)[0]["code"]
    try:
        return {"answer": str(agent.execute_code(code))}
    except Exception:
        return {"answer": ""}
""",
    "function, repaired": """
def solver(agent, task):
    rule = "Write a Python function solution() that returns the answer."
    code = ask(agent, [user(task)], ["code"], rule, 72)[0]["code"]
    try:
        return {"answer": str(agent.execute_code(code))}
    except Exception as error:
        shown = f"{task}\\n\\n{code}\\n\\nError: {error}"
        code = ask(agent, [user(shown)], ["code"], "Correct the function solution().", 72)[0]["code"]
    try:
        return {"answer": str(agent.execute_code(code))}
    except Exception:
        return {"answer": ""}
""",
    "JSON reasoning, answer, vote of 3": """
def solver(agent, task):
    replies = ask(
        agent, [user(task)], ["reasoning", "answer"], "Think step by step. " + RULE, 96, n=3, temperature=0.6
    )
    return {"answer": most([str(reply["answer"]) for reply in replies])}
""",
    "refine": """
def solver(agent, task):
    first = ask(agent, [user(task)], ["answer"])[0]["answer"]
    shown = f"{task}\\nProposed answer: {first}"
    review = ask(agent, [user(shown)], ["feedback"], "Check the proposed answer and say what is wrong.")[0]["feedback"]
    return {"answer": ask(agent, [user(f"{shown}\\nReview: {review}")], ["answer"], "Correct it. " + RULE)[0]["answer"]}
""",
    "restate, then answer": """
def solver(agent, task):
    restated = ask(agent, [user(task)], ["restatement"], "Say the question again in simple words.")[0]["restatement"]
    return {"answer": ask(agent, [user(f"{task}\\nIn other words: {restated}")], ["answer"])[0]["answer"]}
""",
    "principles, then answer": """
def solver(agent, task):
    rule = "Name the operation that is needed. Do not solve it."
    hint = ask(agent, [user(task)], ["principle"], rule)[0]["principle"]
    return {"answer": ask(agent, [user(f"{task}\\nPrinciple: {hint}")], ["answer"])[0]["answer"]}
""",
}


def recorded_workflows(room: int) -> dict[str, str]:
    """Return name -> source.

    Args:
        room: how many times the tokens that a one-step word problem takes each reply may have.
    """
    limit = "max_completion_tokens=tokens"
    head = _HEAD.replace(limit, f"max_completion_tokens={room} * tokens") if room != 1 else _HEAD
    return {name: head + body for name, body in _BODIES.items()}
