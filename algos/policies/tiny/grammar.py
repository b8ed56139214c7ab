"""A grammar of workflows: every technique of the workflow API as a building block, without any preference by benchmark.

A workflow is a chain: prepare the question, collect answers (one or two ways), aggregate them, post-process the answer.
All blocks use the same few identifiers (`content`, `replies`, `answers`, `answer`), so any combination of them runs.
"""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

from w4s_gym.action import format_action

TEMPERATURES = ("0.0", "0.2", "0.3", "0.5", "0.7", "0.8", "1.0")
SAMPLES = (3, 5, 7)
ROLES = (
    "task solver",
    "careful expert",
    "patient teacher",
    "senior programmer",
    "mathematician",
    "scientist",
    "linguist",
    "attentive reader",
)
_HELPERS = {
    "ask(": """\
def ask(agent, prompt, keys, role="task solver", n=1, temperature=0.5):
    messages = [{"role": "user", "content": prompt}]
    return agent.call_json_format_llm(
        messages=messages, temperature=temperature, num_of_response=n, agent_role=role, return_dict_keys=keys
    )
""",
    "tell(": """\
def tell(agent, prompt, n=1, temperature=0.5):
    messages = [{"role": "user", "content": prompt}]
    return agent.call_llm(messages=messages, temperature=temperature, num_of_response=n)
""",
    "run(": """\
def run(agent, code):
    try:
        return str(agent.execute_code(code))
    except Exception:
        return ""
""",
    "compute(": """\
def compute(agent, equation):
    try:
        return str(agent.execute_code(str(equation).split("=")[0].strip()))
    except Exception:
        return ""
""",
    "vote(": """\
def vote(answers):
    answers = [answer for answer in answers if answer] or ["0"]
    return max(answers, key=answers.count)
""",
}
"""Text that shows that a helper is used -> the helper. They stand below `solver`: a model that writes from top to
bottom then knows which ones it needs."""

_PREPARATIONS = {
    "restate the question": ("Restate the question in simple words.", "Restated"),
    "translate to English": ("Translate the question into English.", "Translation"),
    "step back to principles": ("Which general principle or fact answers this question?", "Principle"),
    "make a plan": ("Write a short plan to answer this question, without solving it.", "Plan"),
    "list the facts": ("List the facts and quantities that matter in this question.", "Facts"),
    "recall a similar problem": ("Invent a similar question and solve it.", "Example"),
}
"""Phrase of the analysis -> (request, label of the reply)."""

_KEYS = {
    "answer directly": ("", '["answer"]'),
    "reason step by step": ("Think step by step.", '["reasoning", "answer"]'),
    "plan then answer": ("Plan, then solve.", '["plan", "reasoning", "answer"]'),
    "check the reasoning": ("Solve, then check each step.", '["reasoning", "check", "answer"]'),
    "answer briefly": ("Give only the final answer.", '["answer"]'),
}
"""Phrase -> (instruction added to the question, reply keys); the answer is the value of `answer`."""

_PROGRAMS = {
    "write code and run it": (
        "Write a Python function solution() that returns the answer.",
        ('["code"]', '["reasoning", "code"]'),
        'run(agent, reply["code"])',
    ),
    "write an expression and run it": (
        "Write only the arithmetic expression, do not compute it.",
        ('["expression"]', '["reasoning", "expression"]'),
        'run(agent, reply["expression"])',
    ),
    "write an equation and compute its left side": (
        "Write the calculation as one equation.",
        ('["equation"]', '["reasoning", "equation"]'),
        'compute(agent, reply["equation"])',
    ),
    "write the program": (
        "Write the complete Python code.",
        ('["code"]', '["reasoning", "code"]', '["plan", "code"]'),
        'agent.extract_code_block(reply["code"], entry_point or "solution")',
    ),
}
"""Phrase -> (instruction, choices of reply keys, expression that makes an answer of a reply)."""


@dataclass(frozen=True)
class Proposal:
    """A workflow drawn from the grammar."""

    technique: str
    """The chain of techniques in words; the analysis of the action."""
    workflow: str
    """Python source that defines `solver`."""

    @property
    def action(self) -> str:
        """The action a meta-agent would write."""
        return format_action(f"Idea: {self.technique}.", self.workflow)


def draw_proposal(random: Random) -> Proposal:
    """Draw a workflow; nothing but the generator decides what it does."""
    phrase, body = _prepare(random)
    phrases = [phrase] if phrase else []
    count = 0
    for _ in range(random.choices((1, 2), (4, 1))[0]):
        phrase, lines, samples = _solve(random)
        phrases.append(phrase)
        body += lines
        count += samples
    for phrase, lines in (_aggregate(random, count), _post_process(random)):
        if phrase:
            phrases.append(phrase)
        body += lines
    body.append('return {"answer": answer}')
    code = "\n".join(f"    {line}" for line in body)
    parts = [f"def solver(agent, task, entry_point=None):\n{code}\n"]
    parts += [text for use, text in _HELPERS.items() if use in code]
    return Proposal(", ".join(phrases), "\n\n".join(parts).rstrip())


def _prepare(random: Random) -> tuple[str, list[str]]:
    """Block that sets `content`, the question as the solvers see it."""
    if random.random() < 0.55:
        return "", ["content = task", "answers = []"]
    phrase = random.choice(tuple(_PREPARATIONS))
    request, label = _PREPARATIONS[phrase]
    lines = [
        f'note = tell(agent, "{request}\\n\\n" + task, temperature={random.choice(TEMPERATURES)})[0]',
        f'content = task + "\\n\\n{label}: " + note',
        "answers = []",
    ]
    return phrase, lines


def _solve(random: Random) -> tuple[str, list[str], int]:
    """Block that extends `answers`; also returns how many answers it adds."""
    n = 1 if random.random() < 0.4 else random.choice(SAMPLES)
    settings = _settings(random, n)
    kind = random.choices(("keys", "program", "text", "roles"), (5, 6, 1, 2))[0]
    if kind == "text":
        prompt = 'content + "\\n\\nThink step by step and end with the answer."'
        return (
            "reason in plain text",
            [
                f"replies = tell(agent, {prompt}, {settings})",
                "answers += [agent.extract_answer_str(reply) for reply in replies]",
            ],
            n,
        )
    if kind == "program":
        phrase = random.choice(tuple(_PROGRAMS))
        instruction, keys, value = _PROGRAMS[phrase]
        return phrase, _ask(instruction, random.choice(keys), _role(random), settings, value), n
    phrase = random.choice(tuple(_KEYS))
    instruction, chosen = _KEYS[phrase]
    if kind == "keys":
        return phrase, _ask(instruction, chosen, _role(random), settings, 'str(reply["answer"])'), n
    roles = ", ".join(f'"{role}"' for role in random.sample(ROLES, 3))
    lines = _ask(instruction, chosen, "role=role", _settings(random, 1), 'str(reply["answer"])')
    return f"several roles {phrase}", [f"for role in [{roles}]:", *(f"    {line}" for line in lines)], 3


def _aggregate(random: Random, count: int) -> tuple[str, list[str]]:
    """Block that makes `answer` of `answers`."""
    first = ['answer = next((reply for reply in answers if reply), "0")']
    if count == 1:
        return "", first
    kind = random.choices(("vote", "judge", "tests", "first"), (5, 2, 1, 1))[0]
    if kind == "first":
        return "take the first answer", first
    if kind == "judge":
        prompt = 'content + "\\n\\nCandidate answers:\\n" + "\\n".join(answers) + "\\n\\nWhich one is right?"'
        value = f'ask(agent, {prompt}, ["reasoning", "answer"], role="judge", temperature=0.0)'
        return "let a judge choose", [f"replies = {value}", 'answer = str(replies[0]["answer"])']
    if kind == "tests":
        return "choose by public tests", [
            *first,
            "for reply in answers:",
            '    if entry_point and reply and agent.exec_test(reply, entry_point)["result"]:',
            "        answer = reply",
            "        break",
        ]
    return "vote", ["answer = vote(answers)"]


def _post_process(random: Random) -> tuple[str, list[str]]:
    """Block that may change `answer`."""
    proposed = 'content + "\\n\\nProposed answer: " + answer'
    kind = random.choices(("none", "refine", "verify", "debate", "tests", "extract"), (10, 3, 2, 2, 2, 1))[0]
    if kind == "none":
        return "", []
    if kind == "extract":
        return "extract the final value", ["answer = agent.extract_answer_str(answer)"]
    if kind == "tests":
        loops = random.choice((2, 3))
        call = f"agent.test_on_public_test(task, answer, entry_point, test_loop={loops})"
        return "repair with public tests", ["if entry_point:", f'    answer = {call}["solution"]']
    if kind == "debate":
        keys = random.choice(('["reasoning", "answer"]', '["critique", "answer"]'))
        prompt = 'content + "\\n\\nAnswers of other solvers:\\n" + "\\n".join(answers)'
        return "debate the answers", [
            f"replies = ask(agent, {prompt}, {keys}, {_settings(random, 3)})",
            'answer = vote([str(reply["answer"]) for reply in replies])',
        ]
    judge = random.choice(("critic", "strict verifier"))
    check = f'ask(agent, {proposed} + "\\n\\nIs it correct?", ["critique", "correct"], role="{judge}")[0]'
    if kind == "verify":
        phrase = random.choice(tuple(_KEYS))
        instruction, keys = _KEYS[phrase]
        retry = _ask(instruction, keys, _role(random), _settings(random, 1), 'str(reply["answer"])')
        return f"verify and else {phrase}", [
            f"review = {check}",
            'if "no" in str(review["correct"]).lower():',
            *(f"    {line}" for line in retry),
            "    answer = answers[-1]",
        ]
    better = f'{proposed} + "\\n\\nCritique: " + str(review["critique"]) + "\\n\\nImprove the answer."'
    return "critique and refine", [
        f"for _ in range({random.choice((1, 2, 3))}):",
        f"    review = {check}",
        '    if "yes" in str(review["correct"]).lower():',
        "        break",
        f'    answer = str(ask(agent, {better}, ["reasoning", "answer"])[0]["answer"])',
    ]


def _ask(instruction: str, keys: str, role: str, settings: str, value: str) -> list[str]:
    prompt = f'content + "\\n\\n{instruction}"' if instruction else "content"
    return [
        f"replies = ask(agent, {prompt}, {keys}, {role}, {settings})",
        f"answers += [{value} for reply in replies]",
    ]


def _role(random: Random) -> str:
    return f'role="{random.choice(ROLES)}"'


def _settings(random: Random, n: int) -> str:
    return f"n={n}, temperature={random.choice(TEMPERATURES)}"
