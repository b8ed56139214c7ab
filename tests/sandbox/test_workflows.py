"""What a workflow sees, and what its caller gets back."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from w4s_gym.sandbox import CallHandler, Limits, RunOutcome, Sandbox, WorkflowCallError
from w4s_gym.sandbox.inside.agent import Agent
from w4s_gym.sandbox.inside.frames import FrameError, pack, unpack


@pytest.fixture
def run(sandbox: Sandbox) -> Callable[..., RunOutcome]:
    async def nothing(method: str, args: Any) -> Any:
        raise AssertionError(f"unexpected call {method}")

    def run(source: str, handler: CallHandler = nothing, **options: Any) -> RunOutcome:
        return asyncio.run(sandbox.run_workflow(source, "the task", handler=handler, **options))

    return run


def test_defaults_and_keywords_of_calls_reach_the_handler(run: Callable[..., RunOutcome]) -> None:
    seen: list[tuple[str, dict[str, Any]]] = []

    async def handler(method: str, args: Any) -> Any:
        seen.append((method, dict(args)))
        return [{"reasoning": "r", "answer": "42"}] if method == "call_json_format_llm" else ["text"]

    source = """
def solver(agent, task):
    message = [{"role": "user", "content": task}]
    replies = agent.call_json_format_llm(messages=message, return_dict_keys=["reasoning", "answer"], model="big")
    text = agent.call_llm(messages=message, num_of_response=2, temperature=0.8)[0]
    return {"answer": replies[0]["answer"], "text": text}
"""
    outcome = run(source, handler)
    assert (outcome.status, outcome.value) == ("ok", {"answer": "42", "text": "text"})
    common = {"messages": [{"role": "user", "content": "the task"}], "max_completion_tokens": 4096,
              "agent_role": "task solver", "instructions": ""}  # fmt: skip
    assert seen == [
        ("call_json_format_llm", {**common, "temperature": 1.0, "num_of_response": 1, "model": "big",
                                  "return_dict_keys": ["reasoning", "answer"]}),
        ("call_llm", {**common, "temperature": 0.8, "num_of_response": 2, "model": None, "response_format": "text",
                      "tools": None, "tool_choice": None}),
    ]  # fmt: skip


@pytest.mark.parametrize(
    "signature, expected",
    [("agent, task", None), ("agent, task, entry_point", "add"), ("agent, task, name=None", "add"),
     ("agent, task, *, entry_point='x'", "add"), ("agent, task, **rest", None)],
)  # fmt: skip
def test_the_entry_point_is_passed_when_the_signature_takes_it(
    run: Callable[..., RunOutcome], signature: str, expected: str | None
) -> None:
    third = signature.partition("task, ")[2].lstrip("*, ").partition("=")[0] if expected else "None"
    outcome = run(f"def solver({signature}):\n    return {{'answer': {third}}}\n", entry_point="add")
    assert outcome.value == {"answer": expected}


def test_errors_name_the_failing_line_of_the_source(run: Callable[..., RunOutcome]) -> None:
    outcome = run(
        "import json\n\ndef helper(x):\n    return json.loads(x)\n\ndef solver(agent, task):\n    helper('{')\n"
    )
    assert outcome.status == "error" and outcome.error is not None
    assert (outcome.error.kind, outcome.error.line, outcome.error.source_line) == (
        "JSONDecodeError",
        4,
        "return json.loads(x)",
    )
    syntax = run("def solver(agent, task):\n    return {\n").error
    assert syntax is not None and (syntax.kind, syntax.line) == ("SyntaxError", 2)


def test_what_was_printed_is_kept_up_to_a_limit(run: Callable[..., RunOutcome]) -> None:
    source = "def solver(agent, task):\n    for i in range(10000):\n        print(i)\n    return {'answer': 1}\n"
    outcome = run(source, limits=Limits(output_bytes=100))
    assert outcome.output.endswith("9998\n9999\n") and len(outcome.output) <= 100


@pytest.mark.parametrize(
    "messages",
    ["'text'", "[]", "[5]", "[{'role': 'user'}]", "[{'role': 'robot', 'content': 'x'}]",

     "[{'role': 'user', 'content': None}]", "[{'role': 'user', 'content': [1]}]",
     "[{'role': 'user', 'content': 'x', 'name': 5}]",
     "[{'role': 'user', 'content': 'x', 'gold': 1}]"],
)  # fmt: skip
def test_wrong_messages_are_refused_at_the_line_of_the_call(run: Callable[..., RunOutcome], messages: str) -> None:
    """They never reach the host: a workflow cannot make its failure look like the infrastructure's."""
    outcome = run(f"def solver(agent, task):\n    agent.call_llm(messages={messages})\n")
    assert outcome.status == "error" and outcome.error is not None
    assert (outcome.error.kind, outcome.error.line) == ("TypeError", 2) and "messages" in outcome.error.message


def test_a_message_may_hold_numbers_tuples_and_parts(run: Callable[..., RunOutcome]) -> None:
    async def handler(method: str, args: Any) -> Any:
        return [m["content"] for m in args["messages"]]

    messages = "({'role': 'user', 'content': 5}, {'role': 'user', 'content': [{'type': 'text', 'text': 'x'}]})"
    outcome = run(f"def solver(agent, task):\n    return {{'answer': agent.call_llm(messages={messages})}}\n", handler)
    assert outcome.value == {"answer": ["5", [{"type": "text", "text": "x"}]]}


def test_a_failed_call_raises_inside_and_decides_the_status(run: Callable[..., RunOutcome]) -> None:
    async def handler(method: str, args: Any) -> Any:
        raise WorkflowCallError("BudgetExceeded", "no calls are left", status="budget")

    call = "agent.call_llm(messages=[{'role': 'user', 'content': 'x'}])"
    uncaught = run(f"def solver(agent, task):\n    {call}\n", handler)
    assert uncaught.status == "budget" and uncaught.error is not None
    assert (uncaught.error.kind, uncaught.error.message, uncaught.error.line) == (
        "BudgetExceeded",
        "no calls are left",
        2,
    )
    caught = f"try:\n        {call}\n    except Exception as e:\n        return {{'answer': str(e)}}\n"
    assert run(f"def solver(agent, task):\n    {caught}", handler).value == {"answer": "no calls are left"}


def test_builtin_errors_of_a_call_are_caught_by_their_name(run: Callable[..., RunOutcome]) -> None:
    async def handler(method: str, args: Any) -> Any:
        raise WorkflowCallError("TimeoutError", "too slow")

    source = """
def solver(agent, task):
    try:
        agent.execute_code("while True: pass", timeout=1)
    except TimeoutError as error:
        return {"answer": "caught " + str(error)}
"""
    assert run(source, handler).value == {"answer": "caught too slow"}


def test_a_broken_handler_is_the_fault_of_the_infrastructure(run: Callable[..., RunOutcome]) -> None:
    async def handler(method: str, args: Any) -> Any:
        raise ConnectionError("endpoint is down")

    outcome = run("def solver(agent, task):\n    agent.execute_code('1')\n", handler)
    assert (
        outcome.status == "infrastructure" and outcome.error is not None and "endpoint is down" in outcome.error.message
    )


def test_the_wall_clock_stands_still_while_a_call_is_pending(run: Callable[..., RunOutcome]) -> None:
    async def slow(method: str, args: Any) -> Any:
        await asyncio.sleep(0.8)
        return 1

    source = "def solver(agent, task):\n    return {'answer': agent.execute_code('1')}\n"
    assert run(source, slow, limits=Limits(wall_seconds=0.5)).status == "ok"
    assert run(source, slow, limits=Limits(wall_seconds=0.5, absolute_seconds=0.4)).status == "timeout_wall"


def test_calls_in_flight_end_with_the_item(run: Callable[..., RunOutcome]) -> None:
    ended = []

    async def endless(method: str, args: Any) -> Any:
        try:
            await asyncio.sleep(60)
        finally:
            ended.append(method)

    source = """
import threading, time
def solver(agent, task):
    threading.Thread(target=agent.execute_code, args=("1",), daemon=True).start()
    time.sleep(0.2)
    return {"answer": "done"}
"""
    start = time.monotonic()
    assert run(source, endless).value == {"answer": "done"}
    assert ended == ["execute_code"] and time.monotonic() - start < 10


def test_threads_of_a_workflow_may_call_at_the_same_time(run: Callable[..., RunOutcome]) -> None:
    async def handler(method: str, args: Any) -> Any:
        await asyncio.sleep(0.01 * (int(args["code"]) % 3))
        return int(args["code"])

    source = """
from concurrent.futures import ThreadPoolExecutor
def solver(agent, task):
    with ThreadPoolExecutor(100) as pool:
        return {"answer": list(pool.map(agent.execute_code, map(str, range(150))))}
"""
    assert run(source, handler).value == {"answer": list(range(150))}


def test_many_items_wait_for_their_calls_together(sandbox: Sandbox) -> None:
    waiting = 0
    most = 0

    async def handler(method: str, args: Any) -> Any:
        nonlocal waiting, most
        waiting += 1
        most = max(most, waiting)
        while most < 60:
            await asyncio.sleep(0.01)
        waiting -= 1
        return 1

    source = "def solver(agent, task):\n    return {'answer': agent.execute_code(task)}\n"

    async def all_items() -> list[RunOutcome]:
        return await asyncio.gather(*(sandbox.run_workflow(source, str(i), handler=handler) for i in range(60)))

    assert {o.status for o in asyncio.run(all_items())} == {"ok"}


def test_numpy_and_the_standard_library_can_be_imported(run: Callable[..., RunOutcome]) -> None:
    source = """
import numpy as np, numpy.linalg, numpy.fft, numpy.random, numpy.polynomial, numpy.ma, numpy.testing
import sqlite3, decimal, zoneinfo, xml.etree.ElementTree, email, http.client, urllib.parse, unittest, doctest, tomllib
import asyncio, multiprocessing, ctypes, ssl, bz2, lzma, html.parser, wave, optparse, sched, graphlib
def solver(agent, task):
    async def three():
        await asyncio.sleep(0.01)
        return 3
    db = sqlite3.connect(":memory:")
    values = [np.linalg.det(np.eye(3)), asyncio.run(three()), db.execute("select 4").fetchone()[0]]
    return {"answer": values, "kind": np.int64(3), "text": "\u00e9".encode("latin-1").decode("latin-1")}
"""
    outcome = run(source)
    assert outcome.value == {"answer": [1.0, 3, 4], "kind": 3, "text": "é"}, outcome


def test_runs_are_repeatable(run: Callable[..., RunOutcome]) -> None:
    source = """
import random, numpy
def solver(agent, task):
    return {"answer": [random.random(), numpy.random.rand(), hash("text"), list({"a", "b", "c", "dd", "eee"})]}
"""
    first, second = run(source, seed=7), run(source, seed=7)
    assert first.value == second.value != run(source, seed=8).value


def test_check_workflow_tells_what_is_missing(sandbox: Sandbox) -> None:
    def kind(source: str) -> str | None:
        error = asyncio.run(sandbox.check_workflow(source))
        return error and error.kind

    assert kind("def solver(agent, task): return {}") is None
    assert kind("def solve(agent, task): return {}") == "NameError"
    assert kind("def solver(agent): return {}") == "TypeError"
    assert kind("def solver(agent, task:\n") == "SyntaxError"
    assert kind("import nonsense") == "ModuleNotFoundError"
    assert kind("while True: pass") == "TimeLimit"
    assert kind("x = 1\0") is not None and kind("(" * 5000) is not None


@pytest.mark.parametrize(
    "source, value",
    [("def solution():\n    return 6 * 7", 42), ("x = 1\nx + 2", 3), ("x = 5", 5), ("y = 1\ny += 1", 2),
     ("print(1)", None), ("a, b = 1, 2", None),
     ("def solution():\n    return {'a': (1, 2)}\nprint('ignored')", {"a": [1, 2]}), ("", None),
     ("if __name__ == '__main__':\n    x = 1", None), ("import numpy as np\nnp.arange(3).sum()", 3)],
)  # fmt: skip
def test_the_value_of_a_program(sandbox: Sandbox, source: str, value: Any) -> None:
    outcome = asyncio.run(sandbox.run_program(source))
    assert (outcome.status, outcome.value) == ("ok", value)


def test_a_program_has_no_agent(sandbox: Sandbox) -> None:
    call = "{'id': 0, 'method': 'execute_code', 'args': {'code': '1', 'timeout': 1}}"
    frame = f"import os, json\nb = json.dumps({call}).encode()\n"
    outcome = asyncio.run(
        sandbox.run_program(frame + "os.write(3, bytes([3]) + len(b).to_bytes(4, 'big') + b)\ninput()")
    )
    assert outcome.status == "protocol"


class FakeChannel:
    """Fails the public test until the third program."""

    def __init__(self) -> None:
        self.prompts: list[str] = []

    def call(self, method: str, args: dict[str, Any]) -> Any:
        if method == "exec_test":
            return {"result": args["solution"].endswith("3"), "feedback": f"fed {args['solution'][-1]}"}
        self.prompts.append(args["messages"][0]["content"])
        return [{"reflection": "r", "code": f"```python\ndef f(): return {len(self.prompts) + 1}\n```"}]


@pytest.mark.parametrize("loops, result, count", [(3, True, 2), (1, False, 1), (0, False, 0)])
def test_public_tests_are_repaired_in_a_loop(loops: int, result: bool, count: int) -> None:
    channel = FakeChannel()
    outcome = Agent(channel).test_on_public_test("task", "def f(): return 1", "f", loops)  # type: ignore[arg-type]
    assert (outcome["result"], outcome["count"]) == (result, count)
    assert outcome["solution"] == f"def f(): return {count + 1}" and len(channel.prompts) == count
    assert all("fed" in p and "task" in p for p in channel.prompts)


@pytest.mark.parametrize(
    "text, answer",
    [(r"so \boxed{\frac{1}{2}} and \boxed{x^{2}} holds", "x^{2}"), ("first 3, then 1,234.5", "1234.5"),
     ("It is so. Yes indeed.", "Yes indeed."), (r"\boxed{unfinished 12", "12"), ("", ""), ("minus -7", "-7")],
)  # fmt: skip
def test_extract_answer_str(text: str, answer: str) -> None:
    assert Agent(FakeChannel()).extract_answer_str(text) == answer  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "text, code",
    [("```python\ndef f():\n    pass\n```\nor\n```\nprint(f())\n```", "def f():\n    pass"), ("x = 1", "x = 1"),
     ("a\n```py\nx = 1\n```", "x = 1"), ("```python\ndef f(): return 1", "def f(): return 1"),
     ("```\none\n```\n```\ntwo\n```", "two")],
)  # fmt: skip
def test_extract_code_block(text: str, code: str) -> None:
    assert Agent(FakeChannel()).extract_code_block(text, "f") == code  # type: ignore[arg-type]


FINITE = st.floats(allow_nan=False, allow_infinity=False)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | FINITE | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


@given(JSON)
def test_frames_carry_plain_data(value: Any) -> None:
    body = unpack(pack(1, value)[5:])
    assert body == value or "\0" in repr(value) or "\\x00" in repr(value)


@given(st.binary(max_size=300) | st.text(alphabet='{}[]"\\u0d8,:-.9eEINnaftyi', max_size=200).map(str.encode))
def test_reading_a_frame_raises_nothing_but_a_frame_error(data: bytes) -> None:
    try:
        str(unpack(data)).encode()
    except FrameError:
        pass


@pytest.mark.parametrize(
    "value", [float("inf"), float("nan"), {1: {2}}, [[float("-inf")]], [10**5000], object(), "x" * 10]
)
def test_a_reply_that_cannot_be_sent_is_an_error_inside_the_workflow(
    run: Callable[..., RunOutcome], value: Any
) -> None:
    async def handler(method: str, args: Any) -> Any:
        return value

    source = """
def solver(agent, task):
    try:
        return {"answer": agent.execute_code("1")}
    except ValueError as error:
        return {"answer": "error: " + str(error)}
"""
    outcome = run(source, handler, limits=Limits(absolute_seconds=20))
    assert outcome.status == "ok"
    assert outcome.value["answer"] == value if value == "x" * 10 else "cannot be passed on" in outcome.value["answer"]


@pytest.mark.parametrize("depth, sent", [(40, True), (63, False), (2000, False)])
def test_replies_nested_too_deeply_do_not_keep_other_threads_waiting(
    run: Callable[..., RunOutcome], depth: int, sent: bool
) -> None:
    async def handler(method: str, args: Any) -> Any:
        value: Any = 1
        for _ in range(depth):
            value = [value]
        return value if args["code"] == "deep" else 2

    source = """
from concurrent.futures import ThreadPoolExecutor
def solver(agent, task):
    with ThreadPoolExecutor(2) as pool:
        deep, plain = pool.submit(agent.execute_code, "deep"), pool.submit(agent.execute_code, "plain")
        return {"answer": [plain.result(), deep.exception() is None]}
"""
    assert run(source, handler, limits=Limits(absolute_seconds=20)).value == {"answer": [2, sent]}


@pytest.mark.parametrize("answer", ["A()", "str(A())", "f'{A()} and {solver}'", "[A().f]", "{'x': object()}"])
def test_addresses_of_objects_never_leave(run: Callable[..., RunOutcome], answer: str) -> None:
    prompts = []

    async def handler(method: str, args: Any) -> Any:
        prompts.append(args["messages"][0]["content"])
        return ["r"]

    source = f"""
class A:
    def f(self): ...
def solver(agent, task):
    agent.call_llm(messages=[{{"role": "user", "content": str({answer})}}])
    if task:
        return {{"answer": {answer}}}
"""
    text = str(run(source, handler).value) + prompts[0]
    assert " at 0x...>" in text and "0x7" not in text
    failed = run(
        f"class A:\n    def f(self): ...\ndef solver(agent, task):\n    raise ValueError(str({answer}))\n"
    ).error
    assert failed is not None and " at 0x...>" in failed.message


def test_published_names_of_the_text_helpers_work() -> None:
    agent = Agent(None)  # type: ignore[arg-type]
    program = "def solution():\n    return 1"
    for text in (f"```python\n{program}\n```", f"~~~py\r\n{program}\r\n~~~", f"<think>x</think>```\n{program}"):
        assert agent.extract_code_block(text).replace("\r", "") == program
        assert agent.extract_code_block(response=text, entry_point="solution") == agent.extract_code_block(text=text)
    assert agent.extract_answer_str(answer_str="it is 5") == agent.extract_answer_str(text="it is 5") == "5"
    assert agent.extract_answer_str(r"so \boxed{7}, not 5") == "7"
    with pytest.raises(TypeError, match="one text"):
        agent.extract_code_block()


def test_exec_test_can_be_compared_with_no_error(run: Callable[..., RunOutcome]) -> None:
    async def handler(method: str, args: Any) -> Any:
        return {"result": args["solution"] == "good", "feedback": "f"}

    source = """
def solver(agent, task):
    good, bad = agent.exec_test("good", "f"), agent.exec_test(solution="bad", entry_point="f")
    seen = [good == "no error", good != "no error", bad == "no error", bad != "no error", bad == "f", good["result"],
            bad["feedback"], good == {"result": True, "feedback": "f"}, bad]
    return {"answer": seen}
"""
    assert run(source, handler).value == {
        "answer": [True, False, False, True, False, True, "f", True, {"result": False, "feedback": "f"}]
    }
