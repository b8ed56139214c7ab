"""The `agent` that a workflow talks to, at its end of the channel."""

from __future__ import annotations

import builtins
import re
import threading
import warnings
from typing import Any

from . import fences, frames, schema
from .plain import plain
from .thoughts import without_leading_thoughts, without_thoughts


class CallFailed(Exception):
    """A call of the workflow failed on the host; `call_id` says which."""

    call_id = -1


_ERRORS: dict[str, type[Exception]] = {}


def _error_class(kind: str) -> type[Exception]:
    """Return an exception class of this name: workflows catch built-in ones as usual, others by `Exception`."""
    if kind not in _ERRORS:
        builtin = getattr(builtins, kind, None)
        bases: tuple[type, ...] = (CallFailed,)
        if isinstance(builtin, type) and issubclass(builtin, Exception):
            bases = (CallFailed, builtin)
        _ERRORS[kind] = type(kind if kind.isidentifier() else "CallFailed", bases, {"__module__": "builtins"})
    return _ERRORS[kind]


class Channel:
    """Calls to the host over one descriptor; several threads of the workflow may have calls pending."""

    def __init__(self, fd: int) -> None:
        """Use the blocking stream socket `fd`."""
        self._fd = fd
        self._reader = frames.Reader(fd)
        self._send_lock = threading.Lock()
        self._state = threading.Condition()
        self._reading = False
        self._next_id = 0
        self._replies: dict[int, dict[str, Any]] = {}

    def call(self, method: str, args: dict[str, Any]) -> Any:
        """Send a call and wait for its reply.

        Raises:
            TypeError: an argument has the wrong type or value.
            Exception: the host refused the call; the class is named after the reason.
        """
        if schema.problem(method, args):  # perhaps only a tuple or a numpy number where plain data belongs
            args = plain(args)
            wrong = schema.problem(method, args)
            if wrong:
                raise TypeError(wrong)
        with self._send_lock:
            call_id = self._next_id
            self._next_id += 1
            frame = _pack_call(call_id, method, args)
            if len(frame) > frames.MAX_CALL_BYTES:
                raise ValueError(
                    f"{method}: {len(frame)} bytes of arguments, at most {frames.MAX_CALL_BYTES} are allowed"
                )
            frames.write_all(self._fd, frame)
        reply = self._wait(call_id)
        if "error" in reply:
            error = _error_class(reply["error"]["kind"])(reply["error"]["message"])
            error.call_id = call_id  # type: ignore[attr-defined]
            raise error
        return reply["value"]

    def _wait(self, call_id: int) -> dict[str, Any]:
        """Return the reply to `call_id`; one of the waiting threads reads for all."""
        while True:
            with self._state:
                while self._reading and call_id not in self._replies:
                    self._state.wait()
                if call_id in self._replies:
                    return self._replies.pop(call_id)
                self._reading = True
            try:
                reply = self._reader.next()
            finally:
                with self._state:
                    self._reading = False
                    self._state.notify_all()
            if reply["id"] == call_id:
                return reply
            with self._state:
                self._replies[reply["id"]] = reply
                self._state.notify_all()


def _pack_call(call_id: int, method: str, args: dict[str, Any]) -> bytes:
    try:
        return frames.pack(frames.CALL, {"id": call_id, "method": method, "args": args})
    except (TypeError, ValueError, RecursionError):
        return frames.pack(frames.CALL, {"id": call_id, "method": method, "args": plain(args)})


class Agent:
    """What `solver(agent, task)` may use: the executor model, code execution, public tests and two text helpers."""

    def __init__(self, channel: Channel) -> None:
        """Send calls over `channel`."""
        self._channel = channel

    def call_llm(
        self,
        *,
        messages: list[dict[str, Any]],
        temperature: float = 1.0,
        max_completion_tokens: int = 4096,
        num_of_response: int = 1,
        response_format: str | dict[str, Any] = "text",
        agent_role: str = "task solver",
        instructions: str = "",
        model: str | None = None,
        tools: list[dict[str, Any]] | None = None,
        tool_choice: str | dict[str, Any] | None = None,
    ) -> list[Any]:
        """Return `num_of_response` replies of the executor, as text (or dicts for a JSON format)."""
        args = {
            "messages": _texts(messages),
            "temperature": temperature,
            "max_completion_tokens": max_completion_tokens,
            "num_of_response": num_of_response,
            "response_format": response_format,
            "agent_role": agent_role,
            "instructions": instructions,
            "model": model,
            "tools": tools,
            "tool_choice": tool_choice,
        }
        return self._channel.call("call_llm", args)

    def call_json_format_llm(
        self,
        *,
        messages: list[dict[str, Any]],
        temperature: float = 1.0,
        max_completion_tokens: int = 4096,
        num_of_response: int = 1,
        agent_role: str = "task solver",
        return_dict_keys: list[str] | tuple[str, ...] = (),
        instructions: str = "",
        model: str | None = None,
    ) -> list[dict[str, Any]]:
        """Return `num_of_response` dicts, each with every key of `return_dict_keys`."""
        args = {
            "messages": _texts(messages),
            "temperature": temperature,
            "max_completion_tokens": max_completion_tokens,
            "num_of_response": num_of_response,
            "agent_role": agent_role,
            "return_dict_keys": list(return_dict_keys),
            "instructions": instructions,
            "model": model,
        }
        return self._channel.call("call_json_format_llm", args)

    def execute_code(self, code: str, timeout: float = 5) -> Any:
        """Run a program in a process of its own; return the value of `solution()`, else of its last line."""
        return self._channel.call("execute_code", {"code": code, "timeout": timeout})

    def exec_test(self, solution: str, entry_point: str) -> TestResult:
        """Run the item's public examples on a program; return {"result": bool, "feedback": str}.

        The result also equals the text "no error" if the examples pass, as in published workflows.
        """
        return TestResult(self._channel.call("exec_test", {"solution": solution, "entry_point": entry_point}))

    def test_on_public_test(self, task: str, solution: str, entry_point: str, test_loop: int = 3) -> dict[str, Any]:
        """Run the public examples and let the executor repair the program up to `test_loop` times.

        Returns:
            {"result": whether the last program passes, "solution": it, "feedback": of its run, "count": repairs made}
        """
        count = 0
        outcome = self.exec_test(solution, entry_point)
        while not outcome["result"] and count < test_loop:
            count += 1
            prompt = (
                f"Task:\n{task}\n\nThis program fails a public test:\n```python\n{solution}\n```\n\n"
                f"Result of the test:\n{outcome['feedback']}\n\n"
                f"First say in one or two sentences what is wrong. Then write the whole corrected program, "
                f"with the function `{entry_point}` and the imports it needs."
            )
            reply = self.call_json_format_llm(
                messages=[{"role": "user", "content": prompt}],
                temperature=0.7,
                agent_role="programmer who repairs code",
                return_dict_keys=["reflection", "code"],
                instructions="'code' holds only Python source.",
            )[0]
            solution = self.extract_code_block(str(reply["code"]), entry_point) or solution
            outcome = self.exec_test(solution, entry_point)
        return {"result": outcome["result"], "solution": solution, "feedback": outcome["feedback"], "count": count}

    def extract_answer_str(self, answer_str: str | None = None, *, text: str | None = None) -> str:
        r"""Return the content of the last \boxed{}, else the last number, else the last sentence.

        Args:
            answer_str: what the executor wrote.
            text: another name of it.
        """
        text = without_thoughts(_the_text("extract_answer_str", answer_str, text))
        boxed = _last_boxed(text)
        if boxed is not None:
            return boxed
        numbers = re.findall(r"-?\d[\d,]*(?:\.\d+)?(?:[eE][+-]?\d+)?", text)
        if numbers:
            return numbers[-1].replace(",", "")
        sentences = [s.strip() for s in re.split(r"(?<=[.!?])\s+|\n+", text) if s.strip()]
        return sentences[-1] if sentences else ""

    def extract_code_block(
        self, response: str | None = None, entry_point: str = "solution", *, text: str | None = None
    ) -> str:
        """Return the fenced block that compiles and defines `entry_point`, else the last fenced block, else the text.

        Args:
            response: what the executor wrote.
            entry_point: name of the function or class to look for.
            text: another name of `response`.
        """
        text = fences.plain_lines(without_leading_thoughts(_the_text("extract_code_block", response, text)))
        definition = re.compile(rf"\b(?:def|class)\s+{re.escape(entry_point)}\b")
        block = fences.program(text, lambda source: definition.search(source) is not None, _compiles)
        if block is None:
            blocks = fences.blocks(text)
            block = blocks[-1] if blocks else None
        return block.source.strip("\n") if block else text.strip()


class TestResult(dict[str, Any]):
    """What `exec_test` returns: {"result": bool, "feedback": str}, equal to "no error" if the examples pass."""

    __test__ = False  # not a pytest class
    __hash__ = None

    def __eq__(self, other: object) -> bool:
        """Compare with the published text, else as a dict."""
        if isinstance(other, str):
            return bool(self["result"]) and other == "no error"
        return dict.__eq__(self, other)

    def __ne__(self, other: object) -> bool:
        return not self == other


def _the_text(method: str, first: Any, second: Any) -> str:
    if (first is None) == (second is None):
        raise TypeError(f"{method} takes one text")
    return str(second if first is None else first)


def _compiles(source: str) -> bool:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            compile(source, "<block>", "exec", dont_inherit=True)
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            return False
    return True


def _texts(messages: Any) -> Any:
    """Let a workflow put a number or a dict where the text of a message belongs."""
    if type(messages) not in (list, tuple):
        return messages
    return [
        {**m, "content": str(m["content"])}
        if isinstance(m, dict) and type(m.get("content")) in (int, float, bool, dict)
        else m
        for m in messages
    ]


def _last_boxed(text: str) -> str | None:
    start = text.rfind("\\boxed{")
    if start < 0:
        return None
    depth = 0
    for i in range(start + len("\\boxed"), len(text)):
        depth += (text[i] == "{") - (text[i] == "}")
        if depth == 0:
            return text[start + len("\\boxed{") : i].strip()
    return None
