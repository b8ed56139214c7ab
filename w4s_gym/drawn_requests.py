"""Drawn requests: each candidate of a state is asked to try another thing.

A request names a part that workflows have and sketches it as a short workflow: small models go on with the code that
they saw last, so without a sketch they write the current workflow again. Together the requests span what the API can
do; they are drawn blindly, so none says anything about what works on a benchmark.

A request is a means of exploration and no part of the observation. What learns from a text that was asked for sees it
after the conversation without the request: a policy that was shown the answer would learn nothing from giving it, and
is to propose by itself what proved good.
"""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from random import Random

from w4s_gym.messages import Message
from w4s_gym.sandbox.inside.fences import fenced

_REQUESTS = (
    ("Change how the executor is asked: other instructions and another role.", ""),
    (
        "Let the executor reply in plain text, and take the answer out of the text.",
        """\
text = agent.call_llm(messages=[{"role": "user", "content": task}], instructions="Explain, then answer.")[0]
answer = TAKE(text)""",
    ),
    (
        "Let the executor reply in JSON with other keys, and use what they hold.",
        """\
reply = agent.call_json_format_llm(
    messages=[{"role": "user", "content": task}], return_dict_keys=["facts", "reasoning", "answer"]
)[0]
answer = str(reply["answer"])""",
    ),
    (
        "Take the answer out of the reply in another way, so that it is found whatever the reply looks like.",
        """\
reply = agent.call_json_format_llm(
    messages=[{"role": "user", "content": task}], return_dict_keys=["reasoning", "answer"]
)[0]
answer = str(reply["answer"]).strip()
if not answer:
    answer = TAKE(str(reply["reasoning"]))""",
    ),
    (
        "Check the answer by another call, and ask again when the check fails.",
        """\
answer = TAKE(agent.call_llm(messages=[{"role": "user", "content": task}])[0])
check = agent.call_llm(messages=[{"role": "user", "content": f"{task}\\n\\nAnswer: {answer}\\nRight? Yes or no."}])[0]
if check.strip().lower().startswith("no"):
    answer = TAKE(agent.call_llm(messages=[{"role": "user", "content": f"{task}\\n\\nIt is not {answer}."}])[0])""",
    ),
    (
        "Ask several times and decide between the answers.",
        """\
texts = agent.call_llm(messages=[{"role": "user", "content": task}], temperature=0.8, num_of_response=5)
answers = [TAKE(text) for text in texts]
answer = max(answers, key=answers.count)""",
    ),
    (
        "Combine two ways of asking: when the first one gives no usable answer, the second one answers.",
        """\
try:
    reply = agent.call_json_format_llm(messages=[{"role": "user", "content": task}], return_dict_keys=["answer"])[0]
    answer = str(reply["answer"]).strip()
except Exception:
    answer = ""
if not answer:
    answer = TAKE(agent.call_llm(messages=[{"role": "user", "content": task}])[0])""",
    ),
    (
        "Split the work into two calls: the second one gets the reply of the first.",
        """\
notes = agent.call_llm(messages=[{"role": "user", "content": task}], instructions="Do not answer. Make notes.")[0]
text = agent.call_llm(messages=[{"role": "user", "content": f"{task}\\n\\nNotes:\\n{notes}"}])[0]
answer = TAKE(text)""",
    ),
    (
        "Let the executor write Python code, and run it.",
        """\
text = agent.call_llm(messages=[{"role": "user", "content": task}], instructions="Reply with Python code only.")[0]
RUN""",
    ),
)
_NUMBER = {
    "RUN": """\
try:
    answer = str(agent.execute_code(agent.extract_code_block(text)))
except Exception:
    answer = TAKE(text)""",
    "TAKE(": "agent.extract_answer_str(",
}
_CODE = {
    "TAKE(": "agent.extract_code_block(entry_point=entry_point, text=",
    "RUN": 'answer = agent.test_on_public_test(task, agent.extract_code_block(text), entry_point)["solution"]',
}


def draw_requests(count: int, seed: str, is_code: bool = False) -> list[str]:
    """Draw `count` requests; none comes again before all were drawn.

    A pure function of its arguments; with a larger `count` the first ones stay the same.

    Args:
        count: number of candidates.
        seed: of the draw.
        is_code: the benchmark's answers are programs; only the calls in the sketches depend on it.
    """
    random = Random(seed)
    drawn: list[str] = []
    while len(drawn) < count:
        drawn += random.sample(all_requests(is_code), len(_REQUESTS))
    return drawn[:count]


def all_requests(is_code: bool) -> list[str]:
    """All requests, each with its sketch."""
    return [
        f"{sentence} A sketch:\n{fenced(_sketch(body, is_code))}" if body else sentence for sentence, body in _REQUESTS
    ]


def _sketch(body: str, is_code: bool) -> str:
    for old, new in (_CODE if is_code else _NUMBER).items():
        body = body.replace(old, new)
    head = "def solver(agent, task, entry_point):" if is_code else "def solver(agent, task):"
    return f'{head}\n{textwrap.indent(body, "    ")}\n    return {{"answer": answer}}'


def with_request(messages: Sequence[Message], request: str) -> list[Message]:
    """Return the messages with the request at the end of the last one.

    At the end, so that the prompts of a state share all that stands before it.
    """
    last = messages[-1]
    return [*messages[:-1], {**last, "content": f"{last['content']}{_joined(request)}"}]


def without_requests(messages: Sequence[Message]) -> list[Message]:
    """Return the messages without what `with_request` added to any of them."""
    return [
        {**message, "content": _unasked(message["content"])} if message["role"] == "user" else dict(message)
        for message in messages
    ]


def _unasked(content: str) -> str:
    request = next((r for r in _EVERY if content.endswith(_joined(r))), None)
    return content if request is None else content.removesuffix(_joined(request))


def _joined(request: str) -> str:
    return f"\n{request}"


_EVERY = [*all_requests(False), *all_requests(True)]
