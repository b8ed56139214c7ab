"""Operators that AFlow offers to the meta-agent as ready helpers; a workflow that calls one carries its source."""

from __future__ import annotations

import re

DESCRIPTION = """\
Ready helpers (call them without defining them; each takes the agent first and returns a string unless noted):
- custom(agent, text, instruction): one plain call
- answer_generate(agent, task): reason step by step, then answer
- sc_ensemble(agent, task, solutions): choose the solution of a list that is most consistent with the others
- programmer(agent, task, analysis=""): write a Python program, run it and return its value; 3 tries
- test_solution(agent, task, solution, entry_point): run the public examples of a program, fix it up to 3 times
- review(agent, task, solution): {"correct": bool, "feedback": str}
- revise(agent, task, solution, feedback): the corrected solution"""

OPERATORS: dict[str, str] = {
    "custom": '''
def custom(agent, text, instruction):
    """One plain call."""
    return agent.call_llm(messages=[{"role": "user", "content": text}], instructions=instruction)[0]
''',
    "answer_generate": '''
def answer_generate(agent, task):
    """Reason step by step, then answer."""
    reply = agent.call_json_format_llm(
        messages=[{"role": "user", "content": task}],
        return_dict_keys=["thought", "answer"],
        instructions="Think step by step in \\"thought\\". Put only the final answer into \\"answer\\".",
    )[0]
    return str(reply["answer"]).strip()
''',
    "sc_ensemble": '''
def sc_ensemble(agent, task, solutions):
    """Choose the solution that is most consistent with the others."""
    solutions = [str(s) for s in solutions if str(s).strip()]
    if not solutions:
        return ""
    listing = "\\n".join(f"{chr(65 + i)}: {solution}" for i, solution in enumerate(solutions))
    reply = agent.call_json_format_llm(
        messages=[{"role": "user", "content": f"{task}\\n\\nSolutions:\\n{listing}"}],
        temperature=0.0,
        return_dict_keys=["thought", "letter"],
        instructions="Which answer occurs most often and is most consistent? Put only its letter into \\"letter\\".",
    )[0]
    letter = str(reply["letter"]).strip()[:1].upper()
    index = ord(letter) - 65 if letter else -1
    if not 0 <= index < len(solutions):
        index = max(range(len(solutions)), key=lambda i: (solutions.count(solutions[i]), -i))
    return solutions[index]
''',
    "programmer": '''
def programmer(agent, task, analysis=""):
    """Write a program, run it, return its value; the error of a failed try is shown to the next one."""
    problem = ""
    for _ in range(3):
        reply = agent.call_json_format_llm(
            messages=[{"role": "user", "content": f"{task}\\n\\n{analysis}\\n\\n{problem}".strip()}],
            return_dict_keys=["code"],
            instructions="Write Python code with a function solution() without arguments that returns the answer.",
        )[0]
        try:
            value = agent.execute_code(agent.extract_code_block(str(reply["code"])), timeout=30)
        except Exception as error:
            problem = f"This code failed:\\n{reply['code']}\\n{error}"
            continue
        if value is not None:
            return str(value)
    return ""
''',
    "test_solution": '''
def test_solution(agent, task, solution, entry_point):
    """Run the public examples; let the model fix the program while they fail."""
    return agent.test_on_public_test(task, solution, entry_point, test_loop=3)["solution"]
''',
    "review": '''
def review(agent, task, solution):
    """Judge a solution."""
    reply = agent.call_json_format_llm(
        messages=[{"role": "user", "content": f"{task}\\n\\nSolution:\\n{solution}"}],
        temperature=0.0,
        agent_role="critical reviewer",
        return_dict_keys=["feedback", "correct"],
        instructions="Review the solution. Write True into \\"correct\\" if it is right, else False.",
    )[0]
    return {"correct": str(reply["correct"]).strip().lower().startswith("true"), "feedback": str(reply["feedback"])}
''',
    "revise": '''
def revise(agent, task, solution, feedback):
    """Correct a solution."""
    reply = agent.call_json_format_llm(
        messages=[{"role": "user", "content": f"{task}\\n\\nSolution:\\n{solution}\\n\\nReview:\\n{feedback}"}],
        return_dict_keys=["thought", "solution"],
        instructions="Correct the solution. Put only the final answer into \\"solution\\".",
    )[0]
    return str(reply["solution"]).strip()
''',
}
"""Name -> source."""


def with_operators(workflow: str) -> str:
    """Put the source of the operators that a workflow calls, and does not define itself, in front of it."""
    used = [
        source
        for name, source in OPERATORS.items()
        if re.search(rf"(?<![\w.]){name}\(", workflow) and not re.search(rf"\bdef {name}\b", workflow)
    ]
    return "\n".join([*(source.strip() + "\n\n" for source in used), workflow.strip()]) + "\n" if used else workflow


def without_operators(workflow: str) -> str:
    """Remove what `with_operators` put in front: the part the meta-agent wrote."""
    for source in OPERATORS.values():
        workflow = workflow.replace(source.strip() + "\n\n\n", "", 1)
    return workflow
