"""The host side of the agent, without a sandbox."""

import asyncio

import pytest

from w4s_gym.agent import (
    MAX_REFUSALS,
    PROGRAMS_AT_ONCE,
    AgentHost,
    RunBudgetExceeded,
    full_answer,
)
from w4s_gym.benchmark import Item
from w4s_gym.episode import Episode
from w4s_gym.executors.base import ChatReply, Completion
from w4s_gym.ledger import Caps, Ledger
from w4s_gym.sandbox.types import PROGRAM_LIMITS, Charged, RunEnded, RunOutcome, WorkflowCallError
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
    return AgentHost(Item("i", "task", "4"), executor, None, Episode(7, ledger or Ledger("item")), PROGRAM_LIMITS)


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


class Programs:
    """Stands for a sandbox whose programs take half a second each."""

    def __init__(self):
        self.running = self.most = 0

    async def run_program(self, source, *, seed, limits):
        self.running += 1
        self.most = max(self.most, self.running)
        await asyncio.sleep(0)
        self.running -= 1
        return RunOutcome("ok", 1, wall_seconds=0.5)


def test_a_workflow_that_goes_on_calling_after_its_budget_is_ended():
    agent = host(Scripted("4"), Ledger("item", Caps(calls=1)))
    call(agent, "call_llm", **ASK)
    for _ in range(MAX_REFUSALS):
        with pytest.raises(WorkflowCallError, match="cap of 1"):
            call(agent, "call_llm", **ASK)
    with pytest.raises(RunEnded, match="went on calling") as caught:
        call(agent, "call_llm", **ASK)
    assert caught.value.status == "budget"


def test_programs_are_counted_capped_and_charged_as_time():
    run = Ledger("run")
    item = run.child("item", Caps(programs=3))
    agent = AgentHost(Item("i", "task", "4"), Scripted("4"), Programs(), Episode(0, item), PROGRAM_LIMITS)
    for _ in range(3):
        assert call(agent, "execute_code", code="1", timeout=5) == Charged(1, 0.5)
    with pytest.raises(WorkflowCallError, match="3 programs") as caught:
        call(agent, "execute_code", code="1", timeout=5)
    assert caught.value.status == "budget" and run.usage.programs == 3


def test_few_programs_of_a_workflow_run_at_once():
    programs = Programs()
    agent = AgentHost(Item("i", "task", "4"), Scripted("4"), programs, Episode(0, Ledger("item")), PROGRAM_LIMITS)

    async def all_at_once():
        await asyncio.gather(*(agent("execute_code", {"code": "1"}) for _ in range(40)))

    asyncio.run(all_at_once())
    assert programs.most == PROGRAMS_AT_ONCE


FUNCTION = {"type": "function", "function": {"name": "add", "parameters": {"type": "object", "properties": {}}}}


@pytest.mark.parametrize(
    "arguments",
    [
        {"tools": [{}]},
        {"tools": [{"type": "web_search"}]},
        {"tools": [{"type": "mcp", "server_url": "http://10.0.0.1"}]},
        {"tools": [{"type": "function"}]},
        {"tools": [{**FUNCTION, "server": "x"}]},
        {"tools": [{"type": "function", "function": {"name": "a b"}}]},
        {"tools": [{"type": "function", "function": {"name": "f", "parameters": {"type": "banana"}}}]},
        {"tools": [FUNCTION] * 100},
        {"tools": [FUNCTION], "tool_choice": {"type": "function", "function": {"name": "other"}}},
        {"tools": [FUNCTION], "tool_choice": "web_search"},
    ],
)
def test_only_functions_of_the_usual_shape_reach_the_executor(arguments):
    executor = Scripted("x")
    with pytest.raises(WorkflowCallError, match="tool"):
        call(host(executor), "call_llm", **ASK, **arguments)
    assert not executor.requests


def test_functions_reach_the_executor_and_endpoint_tools_where_they_are_allowed():
    executor = Scripted("x")
    choice = {"type": "function", "function": {"name": "add"}}
    call(host(executor), "call_llm", **ASK, tools=[FUNCTION], tool_choice=choice)
    allowing = AgentHost(
        Item("i", "t", "4"), executor, None, Episode(0, Ledger("item")), PROGRAM_LIMITS, endpoint_tools=("web_search",)
    )
    call(allowing, "call_llm", **ASK, tools=[{"type": "web_search"}])
    assert [r.tools for r in executor.requests] == [(FUNCTION,), ({"type": "web_search"},)]


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


@pytest.mark.parametrize("wanted", ["json", "json_object", {"type": "json_object"}])
def test_a_json_format_gives_dicts(wanted):
    executor = Scripted('<think>{x}</think>Sure:\n```json\n{"answer": "\\frac{1}{2}",}\n```')
    assert call(host(executor), "call_llm", **ASK, response_format=wanted) == [{"answer": r"\frac{1}{2}"}]
    (request,) = executor.requests
    assert request.json_mode and "JSON" in request.messages[0]["content"]


def test_a_json_schema_of_texts_is_enforced_by_key_and_another_one_is_told():
    texts = {"type": "object", "properties": {"why": {"type": "string"}, "answer": {"type": "string"}}}
    executor = Scripted('{"why": "w", "answer": "4"}')
    wanted = {"type": "json_schema", "json_schema": {"name": "x", "schema": texts, "strict": True}}
    assert call(host(executor), "call_llm", **ASK, response_format=wanted) == [{"why": "w", "answer": "4"}]
    assert executor.requests[0].json_keys == ("why", "answer")
    numbers = {"type": "object", "properties": {"steps": {"type": "array", "items": {"type": "number"}}}}
    executor = Scripted('{"steps": [1, 2]}')
    wanted = {"type": "json_schema", "json_schema": {"schema": numbers}}
    assert call(host(executor), "call_llm", **ASK, response_format=wanted) == [{"steps": [1, 2]}]
    assert executor.requests[0].json_mode and '"items"' in executor.requests[0].messages[0]["content"]


@pytest.mark.parametrize("wanted", ["text", {"type": "text"}])
def test_the_text_format_gives_texts(wanted):
    executor = Scripted('{"answer": "4"}')
    assert call(host(executor), "call_llm", **ASK, response_format=wanted) == ['{"answer": "4"}']
    assert not executor.requests[0].json_mode


@pytest.mark.parametrize(
    "wanted", ["yaml", {}, {"type": "grammar"}, {"type": "json_schema"}, {"type": "json_schema", "json_schema": 5},
               {"type": "json_schema", "json_schema": {"schema": {"type": "array"}}}, 5]
)  # fmt: skip
def test_another_format_raises_inside_the_workflow(wanted):
    with pytest.raises(WorkflowCallError, match="response_format must be"):
        call(host(Scripted("x")), "call_llm", **ASK, response_format=wanted)


def test_texts_that_are_too_long_raise_inside_the_workflow():
    long = "x" * 1_000_001
    with pytest.raises(WorkflowCallError, match="at most 1,000,000"):
        call(host(Scripted("x")), "call_llm", messages=[{"role": "user", "content": long}])
    with pytest.raises(WorkflowCallError, match="at most 100,000"):
        call(host(Scripted("x")), "execute_code", code=long, timeout=5)
    item = Item("i", "task", "", kind="code", entry_point="f", public_tests=("assert f() == 1",))
    agent = AgentHost(item, Scripted("x"), None, Episode(7, Ledger("item")), PROGRAM_LIMITS)
    result = call(agent, "exec_test", solution=long, entry_point="f").value
    assert result["result"] is False and "at most 100,000" in result["feedback"]


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
