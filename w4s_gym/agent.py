"""Host side of the `agent` that a workflow sees: executor requests, JSON replies, budgets and the ledger."""

from __future__ import annotations

import asyncio
import json
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from w4s_gym.benchmark import Item
from w4s_gym.episode import Episode
from w4s_gym.errors import BudgetExceeded, ExecutorUnavailable, RequestRefused
from w4s_gym.executor_pool import ExecutorPool
from w4s_gym.executors.base import ChatReply, ChatRequest, Completion, Executor
from w4s_gym.json_reply import parse_json_object
from w4s_gym.ledger import ask
from w4s_gym.reply_format import reply_format
from w4s_gym.sandbox import Sandbox
from w4s_gym.sandbox.inside import tools
from w4s_gym.sandbox.inside.thoughts import only_thoughts
from w4s_gym.sandbox.types import Charged, Limits, RunEnded, WorkflowCallError
from w4s_gym.scoring.code import LONGEST_PROGRAM, public_job
from w4s_gym.transcript import Transcript
from w4s_gym.usage import Usage

MAX_SAMPLES = 64
"""Most samples of one call."""
MAX_OUTPUT_TOKENS = 16_384
MAX_REFUSALS = 10
"""Calls over its budget after which a workflow that goes on calling is ended."""
PROGRAMS_AT_ONCE = 4
"""Programs and public tests of one workflow that run at the same time; more wait."""
MAX_PROMPT_CHARS = 1_000_000
"""Longest prompt of one call, all messages together."""


class RunBudgetExceeded(Exception):
    """The run's own cap was reached: not the workflow's fault, so the item is `infrastructure`."""


class AgentHost:
    """Answers the calls of one workflow run on one item."""

    def __init__(
        self,
        item: Item,
        executor: Executor,
        sandbox: Sandbox,
        episode: Episode,
        program_limits: Limits,
        benchmark: str = "",
        endpoint_tools: Sequence[str] = (),
        transcript: int = 0,
    ) -> None:
        """Serve `item`.

        Args:
            item: the item the workflow works on; only its public tests can be reached from the workflow.
            executor: answers model calls.
            sandbox: runs `execute_code` and public tests.
            episode: the draw, and the item's account; its parents are the evaluation's and the run's.
            program_limits: limits of `execute_code` and of public tests.
            benchmark: name of the item's benchmark, for simulated executors.
            endpoint_tools: types of tools run by the endpoint itself that the workflow may ask for.
            transcript: most characters of the calls to keep.
        """
        self._item = item
        self._executor = executor
        self._models = executor.names if isinstance(executor, ExecutorPool) else ()
        self._sandbox = sandbox
        self._ledger = episode.ledger
        self._draw = episode.draw
        self._program_limits = program_limits
        self._benchmark = benchmark
        self._asked: Counter[tuple[Any, ...]] = Counter()
        self._endpoint_tools = endpoint_tools
        self._programs = 0
        self._refusals = 0
        self._running = asyncio.Semaphore(PROGRAMS_AT_ONCE)
        self.model_override = False
        """The workflow asked for another model, which is ignored and told in the feedback."""
        self.silent = 0
        """Replies that ended at their token limit with nothing in them but thoughts."""
        self.transcript = Transcript(transcript)
        """The calls and what was answered."""
        self.failure: ExecutorUnavailable | RunBudgetExceeded | None = None
        """What kept the item from being measured, through no fault of the workflow."""

    async def __call__(self, method: str, arguments: Mapping[str, Any]) -> Any:
        """Answer one call of the workflow.

        Raises:
            WorkflowCallError: the call raises inside the workflow.
            RunEnded: it goes on calling although its budget is used up.
            ExecutorUnavailable: the endpoint could not be asked.
            RunBudgetExceeded: a cap of the whole run was reached.
        """
        try:
            return await self._dispatch(method, arguments)
        except (ExecutorUnavailable, RunBudgetExceeded) as error:
            self.failure = error
            raise

    async def _dispatch(self, method: str, arguments: Mapping[str, Any]) -> Any:
        if method == "call_llm":
            return await self._call_llm(arguments)
        if method == "call_json_format_llm":
            return await self._call_json(arguments)
        if method == "execute_code":
            return await self._execute_code(arguments)
        if method == "exec_test":
            return await self._exec_test(arguments)
        raise WorkflowCallError("AttributeError", f"the agent has no method {method!r}")

    async def _call_llm(self, arguments: Mapping[str, Any]) -> list[Any]:
        role = _text(arguments.get("agent_role", "task solver"), "agent_role")
        instructions = _text(arguments.get("instructions", ""), "instructions")
        keys, mode, schema = reply_format(arguments.get("response_format", "text"))
        system = " ".join(part for part in (f"You are a helpful {role}.", instructions, schema) if part)
        request = self._request(arguments, system, json_keys=keys, json_mode=mode and not keys)
        reply = await self._ask(request)
        wants_json = mode or bool(keys)
        return [
            _tool_calls(c) if c.tool_calls else await self._parsed(request, c) if wants_json else c.text
            for c in reply.completions
        ]

    async def _call_json(self, arguments: Mapping[str, Any]) -> list[dict[str, Any]]:
        role = _text(arguments.get("agent_role", "task solver"), "agent_role")
        instructions = _text(arguments.get("instructions", ""), "instructions")
        keys = arguments.get("return_dict_keys", [])
        if not isinstance(keys, list) or not all(isinstance(k, str) for k in keys):
            raise WorkflowCallError("TypeError", "return_dict_keys must be a list of strings")
        system = f"You are a helpful {role}. Reply in JSON format, ONLY using the keys {keys}."
        if instructions:
            system = f"{system} {instructions}"
        request = self._request(arguments, system, json_keys=tuple(keys), json_mode=not keys)
        reply = await self._ask(request)
        return [await self._parsed(request, c) for c in reply.completions]

    async def _parsed(self, request: ChatRequest, completion: Completion) -> dict[str, Any]:
        """Parse a JSON reply; ask once more when it is malformed, then fill missing keys with empty strings."""
        found = parse_json_object(completion.text, request.json_keys)
        if found is None or any(key not in found for key in request.json_keys):
            complaint = (
                "That reply was not one JSON object with exactly the requested keys. Reply again, in that format."
            )
            again = replace(
                request,
                n=1,
                messages=(
                    *request.messages,
                    {"role": "assistant", "content": completion.text},
                    {"role": "user", "content": complaint},
                ),
            )
            self._count_malformed(request)
            reply = await self._ask(again)
            second = parse_json_object(reply.completions[0].text, request.json_keys)
            if second is None or any(key not in second for key in request.json_keys):
                self._count_malformed(request)
            found = {**(found or {}), **(second or {})}
        if not request.json_keys:
            return found
        return {key: "" if found.get(key) is None else found[key] for key in request.json_keys}

    def _count_malformed(self, request: ChatRequest) -> None:
        one = Usage(malformed=1)
        self._ledger.settle(0, replace(one, by_executor={request.model: one}) if request.model else one)

    async def _execute_code(self, arguments: Mapping[str, Any]) -> Any:
        code = _text(arguments.get("code", ""), "code")
        if len(code) > LONGEST_PROGRAM:
            raise WorkflowCallError("ValueError", _too_long("code", code, LONGEST_PROGRAM))
        limits = self._limits(arguments.get("timeout", 5))
        seed = self._count_program()
        async with self._running:
            outcome = await self._sandbox.run_program(code, seed=seed, limits=limits)
        if outcome.status == "infrastructure":
            raise RuntimeError("the sandbox could not run the program")
        seconds = max(outcome.wall_seconds, outcome.cpu_seconds)
        if outcome.status == "ok":
            return Charged(outcome.value, seconds)
        report = outcome.error
        raise WorkflowCallError(
            report.kind if report else outcome.status,
            report.text() if report else f"the program ended: {outcome.status}",
            seconds=seconds,
        )

    async def _exec_test(self, arguments: Mapping[str, Any]) -> Charged:
        solution = _text(arguments.get("solution", ""), "solution")
        if not self._item.public_tests:
            return Charged({"result": True, "feedback": "this task has no public examples"}, 0.0)
        if len(solution) > LONGEST_PROGRAM:
            return Charged({"result": False, "feedback": _too_long("the program", solution, LONGEST_PROGRAM)}, 0.0)
        entry_point = _text(arguments.get("entry_point") or self._item.entry_point or "", "entry_point")
        # All examples in one run: one that never ends must not be paid once per example.
        job = await asyncio.to_thread(public_job, self._item, solution)
        self._count_program()
        async with self._running:
            outcome = await self._sandbox.run_tests(replace(job, entry_point=entry_point, limits=self._program_limits))
        if outcome.status == "infrastructure":
            raise RuntimeError("the sandbox could not run the public examples")
        feedback = "all public examples pass"
        if outcome.status != "ok":
            feedback = f"a public example fails: {outcome.error.text() if outcome.error else outcome.status}"
        return Charged({"result": outcome.status == "ok", "feedback": feedback}, outcome.wall_seconds)

    def _request(
        self, arguments: Mapping[str, Any], system: str, json_keys: tuple[str, ...] = (), json_mode: bool = False
    ) -> ChatRequest:
        messages = arguments.get("messages")
        if not isinstance(messages, list) or not messages:
            raise WorkflowCallError("TypeError", "messages must be a list of {'role': ..., 'content': ...} dicts")
        chat: list[dict[str, str]] = [{"role": "system", "content": system}]
        for message in messages:
            if not isinstance(message, dict) or "content" not in message:
                raise WorkflowCallError("TypeError", "each message must be a dict with the keys role and content")
            role = message.get("role", "user")
            if role not in ("system", "user", "assistant"):
                raise WorkflowCallError("ValueError", f"expected role system, user or assistant; got {role!r}")
            chat.append({"role": role, "content": _text(message["content"], "content")})
        length = sum(len(m["content"]) for m in chat)
        if length > MAX_PROMPT_CHARS:
            raise WorkflowCallError(
                "ValueError", f"a prompt of {length:,} characters; at most {MAX_PROMPT_CHARS:,} fit"
            )
        model = self._model(arguments.get("model"))
        offered, choice = self._tools(arguments)
        return ChatRequest(
            messages=tuple(chat),
            temperature=_number(arguments.get("temperature", 1.0), "temperature", 0.0, 2.0),
            max_tokens=int(
                _number(arguments.get("max_completion_tokens", 4096), "max_completion_tokens", 1, MAX_OUTPUT_TOKENS)
            ),
            n=int(_number(arguments.get("num_of_response", 1), "num_of_response", 1, MAX_SAMPLES)),
            json_keys=json_keys,
            json_mode=json_mode,
            tools=offered,
            tool_choice=choice,
            item=self._item,
            benchmark=self._benchmark,
            draw=self._draw,
            model=model,
        )

    def _model(self, asked: Any) -> str:
        """Return which executor of a pool answers a call; empty where there is one executor only."""
        if asked in (None, ""):
            return self._models[0] if self._models else ""
        if not self._models:
            self.model_override = True
            return ""
        if asked not in self._models:
            known = ", ".join(map(repr, self._models))
            raise WorkflowCallError("ValueError", f"expected model to be one of {known}; got {asked!r:.80}")
        return str(asked)

    def _tools(self, arguments: Mapping[str, Any]) -> tuple[tuple[Mapping[str, Any], ...], Any]:
        """Return the tools of a call and which of them to use; only functions, unless the environment allows more."""
        offered, choice = arguments.get("tools"), arguments.get("tool_choice")
        wrong = tools.problem(offered) or tools.choice_problem(choice)
        if wrong:
            raise WorkflowCallError("TypeError", f"tools must be {wrong}")
        for tool in offered or ():
            if tool["type"] not in ("function", *self._endpoint_tools):
                raise WorkflowCallError("ValueError", f"expected tools of type 'function'; got {tool['type']!r:.80}")
        named = choice["function"]["name"] if isinstance(choice, dict) else None
        if named is not None and not any(t.get("function", {}).get("name") == named for t in offered or ()):
            raise WorkflowCallError("ValueError", f"tool_choice names {named!r}, which is not among the tools")
        return tuple(offered or ()), choice

    async def _ask(self, request: ChatRequest) -> ChatReply:
        """Reserve, ask, settle. Samples of the same prompt are numbered, so that each is a fresh one."""
        key = (
            json.dumps(request.messages, sort_keys=True),
            request.temperature,
            request.max_tokens,
            request.json_keys,
            request.json_mode,
            request.model,
        )
        request = replace(request, sample_index=self._asked[key])
        self._asked[key] += request.n
        try:
            reply = await ask(self._executor, request, self._ledger)
            self.transcript.add(request, reply)
            self.silent += sum(c.finish_reason == "length" and only_thoughts(c.text) for c in reply.completions)
            return reply
        except BudgetExceeded as error:
            raise self._refused(error) from error
        except RequestRefused as error:
            raise WorkflowCallError("RequestRefused", str(error)) from error

    def _limits(self, timeout: Any) -> Limits:
        ceiling = self._program_limits
        seconds = _number(timeout, "timeout", 0.1, ceiling.wall_seconds)
        return replace(ceiling, cpu_seconds=min(seconds, ceiling.cpu_seconds), wall_seconds=seconds)

    def _count_program(self) -> int:
        """Charge one more program; return its seed: random code differs between programs and repeats between runs."""
        try:
            self._ledger.charge_program()
        except BudgetExceeded as error:
            raise self._refused(error) from error
        self._programs += 1
        return self._draw * 1_000_003 + self._programs

    def _refused(self, error: BudgetExceeded) -> Exception:
        """Return what to raise for a call over a cap: inside the workflow at first, then the end of the run."""
        if error.scope == "run":
            return RunBudgetExceeded(str(error))
        self._refusals += 1
        if self._refusals > MAX_REFUSALS:
            return RunEnded("budget", f"went on calling after its budget was used up: {error}")
        return WorkflowCallError("BudgetExceeded", str(error), status="budget")


def _text(value: Any, name: str) -> str:
    """Accept a string, or plain data that a workflow forgot to turn into one."""
    if isinstance(value, str):
        return value
    if isinstance(value, int | float | list | dict) or value is None:
        return json.dumps(value, ensure_ascii=False)
    raise WorkflowCallError("TypeError", f"{name} must be a string; got {type(value).__name__}")


def _number(value: Any, name: str, low: float, high: float) -> float:
    """Clamp a number to [low, high]."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise WorkflowCallError("TypeError", f"{name} must be a finite number; got {value!r:.80}")
    return min(max(value, low), high)


def _too_long(what: str, text: str, most: int) -> str:
    return f"{what} has {len(text):,} characters; at most {most:,} are accepted"


def _tool_calls(completion: Completion) -> dict[str, Any]:
    return {"content": completion.text, "tool_calls": [dict(call) for call in completion.tool_calls]}


def full_answer(value: Any) -> str | None:
    """Reduce what `solver` returned to the answer's text.

    Args:
        value: plain JSON data from the sandbox.

    Returns:
        The text of `value["answer"]`, or of a bare string or number; None when there is no usable answer.
    """
    if isinstance(value, dict):
        value = value.get("answer")
    if isinstance(value, str):
        return value
    if isinstance(value, bool) or value is None:
        return None
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, Sequence) and value and all(isinstance(v, str | int | float) for v in value):
        return ", ".join(str(v) for v in value)
    return None
