"""Published hand-made workflows as source text: baselines to compare with, and seeds of episodes.

Each is written for this project after the description of its method, and uses only the agent's public calls.
"""

from __future__ import annotations

from string import Template

from w4s_gym.benchmark import AnswerKind, SeedWorkflow
from w4s_gym.errors import ConfigError

_RULES: dict[AnswerKind, str] = {
    "number": "Give the final answer as a number only, without unit and without thousands separators.",
    "text": "Give the final answer in as few words as possible, without a full sentence.",
    "choice": "Give the letter of the correct option only.",
    "math": "Give the final answer only, in LaTeX where needed, without a sentence and without dollar signs.",
    "code": "Give the complete Python source of the function with its imports, without Markdown fences.",
}
_ROLES: dict[AnswerKind, str] = {
    "number": "careful solver of arithmetic word problems",
    "text": "careful reader who answers questions",
    "choice": "knowledgeable examinee",
    "math": "careful mathematician",
    "code": "experienced Python programmer",
}

_IO = '''
def solver(agent, task):
    """One plain call."""
    text = agent.call_llm(
        messages=[{"role": "user", "content": task}],
        temperature=0.8,
        agent_role="$role",
        instructions="Reply with the final answer and nothing else. $rule",
    )[0]
    return {"answer": $final}
'''

_COT = '''
def solver(agent, task):
    """Chain of thought: reason first, then answer."""
    reply = agent.call_json_format_llm(
        messages=[{"role": "user", "content": task}],
        temperature=0.8,
        agent_role="$role",
        return_dict_keys=["reasoning", "answer"],
        instructions="Think step by step. $rule",
    )[0]
    return {"answer": str(reply["answer"]).strip()}
'''

_COT_SC = '''
from collections import Counter


def solver(agent, task):
    """Self-consistency: five chains of thought, then a majority vote."""
    replies = agent.call_json_format_llm(
        messages=[{"role": "user", "content": task}],
        temperature=0.8,
        num_of_response=5,
        agent_role="$role",
        return_dict_keys=["reasoning", "answer"],
        instructions="Think step by step. $rule",
    )
    answers = [str(reply["answer"]).strip() for reply in replies]
    votes = Counter(answer for answer in answers if answer)
    return {"answer": votes.most_common(1)[0][0] if votes else ""}
'''

_COT_SC_CODE = '''
def solver(agent, task):
    """Self-consistency for programs: five attempts, then a call that chooses one of them."""
    replies = agent.call_json_format_llm(
        messages=[{"role": "user", "content": task}],
        temperature=0.8,
        num_of_response=5,
        agent_role="$role",
        return_dict_keys=["reasoning", "answer"],
        instructions="Think step by step. $rule",
    )
    answers = [str(reply["answer"]) for reply in replies if str(reply["answer"]).strip()]
    if not answers:
        return {"answer": ""}
    listing = "\\n\\n".join(f"Solution {letter}:\\n{answer}" for letter, answer in zip("ABCDE", answers))
    choice = agent.call_json_format_llm(
        messages=[{"role": "user", "content": f"{task}\\n\\n{listing}"}],
        temperature=0.0,
        agent_role="careful reviewer of programs",
        return_dict_keys=["reasoning", "choice"],
        instructions="Compare the solutions. Choose the one that is most likely correct: its letter only.",
    )[0]
    letter = str(choice["choice"]).strip()[:1].upper()
    index = "ABCDE".find(letter) if letter else 0
    return {"answer": answers[index] if 0 <= index < len(answers) else answers[0]}
'''

_HELPERS = '''
RULE = "$rule"


def ask(agent, content, keys, instructions, role="$role", temperature=0.8):
    """Ask once; return the reply as a dict of stripped strings."""
    reply = agent.call_json_format_llm(
        messages=[{"role": "user", "content": content}],
        temperature=temperature,
        agent_role=role,
        return_dict_keys=keys,
        instructions=instructions,
    )[0]
    return {key: str(reply[key]).strip() for key in keys}

'''

_SELF_REFINE = (
    _HELPERS
    + '''
def solver(agent, task):
    """Self-refinement: a critic reviews the answer, the solver corrects it, at most $rounds times."""
    attempt = ask(agent, task, ["reasoning", "answer"], f"Think step by step. {RULE}")
    for _ in range($rounds):
        shown = f"{task}\\n\\nAttempt:\\n{attempt['reasoning']}\\nAnswer: {attempt['answer']}"
        review = ask(
            agent,
            shown,
            ["feedback", "correct"],
            "Review the attempt and say what is wrong with it. In \\"correct\\" write True if you are sure that it is "
            "right, else False.",
            role="strict critic",
        )
        if review["correct"].lower().startswith("true"):
            break
        attempt = ask(
            agent,
            f"{shown}\\n\\nReview:\\n{review['feedback']}",
            ["reasoning", "answer"],
            f"Solve the task again with the review in mind. {RULE}",
        )
    return {"answer": attempt["answer"]}
'''
)

_DEBATE = (
    _HELPERS
    + '''
ROLES = ("careful expert of the field", "teacher who explains every step", "sceptic who looks for traps")


def solver(agent, task):
    """Debate: three roles answer, see each other's answers and answer again; a judge decides."""
    instructions = f"Think step by step. {RULE}"
    replies = [ask(agent, task, ["reasoning", "answer"], instructions, role=role) for role in ROLES]
    for _ in range(1):
        said = [f"{reply['reasoning']}\\nAnswer: {reply['answer']}" for reply in replies]
        replies = [
            ask(
                agent,
                f"{task}\\n\\nYour opinion was:\\n{said[i]}\\n\\nOthers said:\\n"
                + "\\n\\n".join(text for j, text in enumerate(said) if j != i),
                ["reasoning", "answer"],
                f"Weigh the other opinions critically and answer again. {RULE}",
                role=role,
            )
            for i, role in enumerate(ROLES)
        ]
    said = "\\n\\n".join(f"{reply['reasoning']}\\nAnswer: {reply['answer']}" for reply in replies)
    final = ask(
        agent,
        f"{task}\\n\\nOpinions:\\n{said}",
        ["reasoning", "answer"],
        f"Compare the opinions carefully and give the final answer. {RULE}",
        role="impartial judge",
        temperature=0.1,
    )
    return {"answer": final["answer"]}
'''
)

_STEP_BACK = (
    _HELPERS
    + '''
def solver(agent, task):
    """Step back: name the principles behind the task first, then solve it with them."""
    principles = ask(
        agent,
        task,
        ["principles"],
        "Do not solve the task. Name the principles, facts and methods that its solution rests on, and explain them.",
    )["principles"]
    reply = ask(
        agent,
        f"{task}\\n\\nPrinciples:\\n{principles}",
        ["reasoning", "answer"],
        f"Think step by step, guided by the principles. {RULE}",
    )
    return {"answer": reply["answer"]}
'''
)

_QUALITY_DIVERSITY = (
    _HELPERS
    + '''
def solver(agent, task):
    """Quality-diversity: a first try and three further ones that each take another way, then a decision."""
    tries = [ask(agent, task, ["reasoning", "answer"], f"Think step by step. {RULE}")]
    for _ in range(3):
        earlier = "\\n\\n".join(f"Try:\\n{t['reasoning']}\\nAnswer: {t['answer']}" for t in tries)
        tries.append(
            ask(
                agent,
                f"{task}\\n\\n{earlier}",
                ["reasoning", "answer"],
                f"Find another interesting way to solve the task than the tries before. {RULE}",
            )
        )
    everything = "\\n\\n".join(f"Try:\\n{t['reasoning']}\\nAnswer: {t['answer']}" for t in tries)
    final = ask(
        agent,
        f"{task}\\n\\n{everything}",
        ["reasoning", "answer"],
        f"Compare all tries carefully and give the final answer. {RULE}",
        role="impartial judge",
        temperature=0.1,
    )
    return {"answer": final["answer"]}
'''
)

_DYNAMIC_ROLES = (
    _HELPERS
    + '''
def solver(agent, task):
    """Dynamic roles: one call names the expert who suits the task, a second one answers in that role."""
    expert = ask(
        agent,
        task,
        ["expert"],
        "Do not solve the task. Name the kind of expert who is best suited to it, in a few words.",
        role="coordinator of a team of experts",
        temperature=0.5,
    )["expert"]
    reply = ask(
        agent, task, ["reasoning", "answer"], f"Think step by step. {RULE}", role=expert or "helpful expert"
    )
    return {"answer": reply["answer"]}
'''
)

_MEDPROMPT = (
    "from collections import Counter\n"
    + _HELPERS
    + '''
def solver(agent, task):
    """MedPrompt: three chains of thought, then five votes that see them in rotated order."""
    replies = agent.call_json_format_llm(
        messages=[{"role": "user", "content": task}],
        temperature=0.8,
        num_of_response=3,
        agent_role="$role",
        return_dict_keys=["reasoning", "answer"],
        instructions=f"Think step by step. {RULE}",
    )
    answers = [str(reply["answer"]).strip() for reply in replies]
    votes = Counter()
    for turn in range(5):
        order = [(turn + i) % 3 for i in range(3)]
        listing = "\\n\\n".join(f"{letter}:\\n{answers[i]}" for letter, i in zip("ABC", order))
        choice = ask(
            agent,
            f"{task}\\n\\nCandidate answers:\\n{listing}",
            ["reasoning", "choice"],
            "Compare the candidate answers and choose the one that is most likely correct: its letter only.",
        )["choice"]
        position = "ABC".find(choice[:1].upper()) if choice else -1
        if position >= 0:
            votes[answers[order[position]]] += 1
    return {"answer": votes.most_common(1)[0][0] if votes else answers[0]}
'''
)

_MULTI_PERSONA = (
    _HELPERS
    + '''
def solver(agent, task):
    """Multi-persona: several personas discuss the task inside one reply."""
    reply = ask(
        agent,
        task,
        ["personas", "discussion", "answer"],
        "Name two or three personas whose knowledge helps with the task. Let them discuss it until they agree, each "
        f"checking the others. Then give the answer they agreed on. {RULE}",
        role="moderator of a group of experts",
    )
    return {"answer": reply["answer"]}
'''
)

_PROGRAM = '''
def solver(agent, task):
    """Program of thought: write a program that computes the answer, and run it."""
    reply = agent.call_json_format_llm(
        messages=[{"role": "user", "content": task}],
        temperature=0.3,
        agent_role="$role who writes Python",
        return_dict_keys=["reasoning", "code"],
        instructions="Write Python code with a function solution() without arguments that returns the answer. $rule",
    )[0]
    try:
        value = agent.execute_code(agent.extract_code_block(str(reply["code"])))
    except Exception:
        value = None
    return {"answer": $fallback if value is None else str(value)}
'''

_PUBLIC_TEST_REPAIR = '''
def solver(agent, task, entry_point):
    """Write a program, run the public examples, and let the model repair it while they fail."""
    reply = agent.call_json_format_llm(
        messages=[{"role": "user", "content": task}],
        temperature=0.3,
        agent_role="$role",
        return_dict_keys=["reasoning", "answer"],
        instructions="Think step by step. $rule",
    )[0]
    outcome = agent.test_on_public_test(task, str(reply["answer"]), entry_point, test_loop=3)
    return {"answer": outcome["solution"]}
'''

_TEMPLATES = {
    "IO": _IO,
    "CoT": _COT,
    "CoT-SC": _COT_SC,
    "Self-Refine-3": _SELF_REFINE.replace("$rounds", "3"),
    "Self-Refine-5": _SELF_REFINE.replace("$rounds", "5"),
    "LLM-Debate": _DEBATE,
    "Step-back": _STEP_BACK,
    "Quality-Diversity": _QUALITY_DIVERSITY,
    "Dynamic-roles": _DYNAMIC_ROLES,
    "MedPrompt": _MEDPROMPT,
    "MultiPersona": _MULTI_PERSONA,
    "ProgramOfThought": _PROGRAM,
    "PublicTestRepair": _PUBLIC_TEST_REPAIR,
}

HAND_MADE: tuple[str, ...] = tuple(_TEMPLATES)
"""Names of all hand-made workflows."""


def hand_made_names(kind: AnswerKind) -> tuple[str, ...]:
    """Names of the hand-made workflows that suit this kind of answer."""
    unsuited = "ProgramOfThought" if kind == "code" else "PublicTestRepair"
    return tuple(name for name in HAND_MADE if name != unsuited)


def hand_made_workflow(name: str, kind: AnswerKind) -> str:
    """Return the source of a hand-made workflow.

    Args:
        name: one of `hand_made_names(kind)`.
        kind: what an answer of the benchmark looks like.

    Raises:
        ConfigError: unknown name, or a workflow that does not suit this kind of answer.
    """
    if name not in hand_made_names(kind):
        raise ConfigError(f"expected one of {', '.join(hand_made_names(kind))} for {kind} answers; got {name!r}")
    source = _COT_SC_CODE if (name, kind) == ("CoT-SC", "code") else _TEMPLATES[name]
    if kind == "code":
        source = source.replace("def solver(agent, task):", "def solver(agent, task, entry_point):")
    final = {"number": "agent.extract_answer_str(text)", "code": "agent.extract_code_block(text, entry_point)"}
    filled = Template(source).substitute(
        rule=_RULES[kind],
        role=_ROLES[kind],
        final=final.get(kind, "text.strip()"),
        fallback='"0"' if kind == "number" else '""',
    )
    return filled.lstrip("\n")


def seed_workflows(kind: AnswerKind) -> tuple[SeedWorkflow, ...]:
    """Return the published seeds: CoT, CoT-SC, and a workflow that runs code where code helps with the answer."""
    names = {
        "number": ("CoT", "CoT-SC", "ProgramOfThought"),
        "math": ("CoT", "CoT-SC", "ProgramOfThought"),
        "code": ("CoT", "CoT-SC", "PublicTestRepair"),
    }.get(kind, ("CoT", "CoT-SC"))
    return tuple(SeedWorkflow(name, hand_made_workflow(name, kind)) for name in names)
