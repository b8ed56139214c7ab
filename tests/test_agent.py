"""The host side of the agent, without a sandbox."""

import asyncio
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from w4s_gym.agent import AgentHost, RunBudgetExceeded, full_answer, parse_json_object
from w4s_gym.benchmark import Item
from w4s_gym.executors.base import ChatReply, Completion
from w4s_gym.ledger import Caps, Ledger
from w4s_gym.sandbox.types import PROGRAM_LIMITS, WorkflowCallError
from w4s_gym.usage import Usage

ASK = {"messages": [{"role": "user", "content": "2+2?"}]}


class Scripted:
    """Gives the texts of a list in turn."""

    name, simulated = "scripted", True

    def __init__(self, *texts):
        self.texts, self.requests = list(texts), []

    async def complete(self, request):
        self.requests.append(request)
        texts = [self.texts.pop(0) if len(self.texts) > 1 else self.texts[0] for _ in range(request.n)]
        return ChatReply(tuple(Completion(t) for t in texts), Usage(calls=request.n))

    async def close(self):
        return None


def host(executor, ledger=None):
    return AgentHost(Item("i", "task", "4"), executor, None, ledger or Ledger("item"), 7, PROGRAM_LIMITS)


def call(agent, method, **arguments):
    return asyncio.run(agent(method, arguments))


def test_json_call_states_role_keys_and_instructions():
    executor = Scripted('{"reasoning": "r", "answer": "4"}')
    reply = call(host(executor), "call_json_format_llm", **ASK, agent_role="teacher",
                 return_dict_keys=["reasoning", "answer"], instructions="Be brief.")  # fmt: skip
    assert reply == [{"reasoning": "r", "answer": "4"}]
    system = executor.requests[0].messages[0]["content"]
    assert "teacher" in system and "['reasoning', 'answer']" in system and "Be brief." in system
    assert executor.requests[0].draw == 7


def test_malformed_reply_is_asked_again_once_and_counted():
    ledger = Ledger("item")
    executor = Scripted("nonsense", '{"answer": 4}')
    assert call(host(executor, ledger), "call_json_format_llm", **ASK, return_dict_keys=["answer"]) == [{"answer": 4}]
    assert len(executor.requests) == 2 and ledger.usage.malformed == 1
    executor = Scripted("nonsense")
    reply = call(host(executor, ledger), "call_json_format_llm", **ASK, return_dict_keys=["answer", "why"])
    assert reply == [{"answer": "", "why": ""}]
    assert len(executor.requests) == 2 and ledger.usage.malformed == 3


def test_samples_of_one_prompt_are_numbered():
    executor = Scripted("4")
    agent = host(executor)
    call(agent, "call_llm", **ASK, num_of_response=3)
    call(agent, "call_llm", **ASK)
    call(agent, "call_llm", messages=[{"role": "user", "content": "other"}])
    assert [r.sample_index for r in executor.requests] == [0, 3, 0]


def test_caps_of_item_and_run_are_told_apart():
    run = Ledger("run", Caps(calls=3))
    agent = host(Scripted("4"), run.child("item", Caps(calls=2)))
    call(agent, "call_llm", **ASK, num_of_response=2)
    with pytest.raises(WorkflowCallError, match="cap of 2") as caught:
        call(agent, "call_llm", **ASK)
    assert caught.value.status == "budget"
    agent = host(Scripted("4"), run.child("item"))
    with pytest.raises(RunBudgetExceeded, match="cap of 3"):
        call(agent, "call_llm", **ASK, num_of_response=2)
    assert isinstance(agent.failure, RunBudgetExceeded)
    assert run.usage.calls == 2


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({}, "messages must be a list"),
        ({"messages": "hello"}, "messages must be a list"),
        ({"messages": [{"role": "boss", "content": "x"}]}, "role"),
        ({"messages": [{"role": "user"}]}, "content"),
        ({**ASK, "temperature": "hot"}, "finite number"),
        ({**ASK, "num_of_response": True}, "finite number"),
    ],
)
def test_bad_arguments_raise_inside_the_workflow(arguments, words):
    with pytest.raises(WorkflowCallError, match=words):
        call(host(Scripted("x")), "call_llm", **arguments)


def test_arguments_are_clamped():
    executor = Scripted("x")
    call(host(executor), "call_llm", **ASK, num_of_response=10_000, temperature=-3, max_completion_tokens=10**9)
    request = executor.requests[0]
    assert (request.n, request.temperature, request.max_tokens) == (64, 0.0, 16_384)


def test_json_is_found_in_what_models_write():
    for text in ('{"a": 1}', '```json\n{"a": 1}\n```', 'Sure:\n{"a": 1}\nDone.', '{"a":\n1}'):
        assert parse_json_object(text) == {"a": 1}
    assert parse_json_object('{"a": "line\nbreak"}') == {"a": "line\nbreak"}
    for text in ("", "[1]", "{", "}{", '{"a": NaN', "[" * 200_000, "1" * 5_000):
        assert parse_json_object(text) is None
    assert parse_json_object('{"a": NaN}') == {"a": "NaN"}


@given(st.dictionaries(st.text(), st.text() | st.integers() | st.booleans() | st.none()))
def test_any_json_object_is_read_back(value):
    assert parse_json_object(json.dumps(value)) == value


@pytest.mark.parametrize(
    ("value", "answer"),
    [
        ({"answer": "x", "other": 1}, "x"),
        ({"answer": 4}, "4"),
        ({"answer": 0.5}, "0.5"),
        ("bare", "bare"),
        ({"answer": ["a", 2]}, "a, 2"),
        ({"answer": None}, None),
        ({"answer": True}, None),
        ({"answer": {"x": 1}}, None),
        ({}, None),
        (None, None),
        ([], None),
    ],
)
def test_answers_are_reduced_to_text(value, answer):
    assert full_answer(value) == answer
