"""The fault matrix of docs/executors.md, measured: what an endpoint says, what the executor does, what the user sees.

Run it as a program to write the table into the page:

    python tests/executors/fault_matrix.py
"""

from __future__ import annotations

import asyncio
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from w4s_gym.errors import ExecutorUnavailable, W4SError
from w4s_gym.executors import ChatRequest, make_executor

PAGE = Path(__file__).resolve().parents[2] / "docs" / "executors.md"
BEGIN, END = "<!-- fault matrix: written by tests/executors/fault_matrix.py -->", "<!-- end of the fault matrix -->"
_CONFIG = {"attempt_seconds": 5.0, "backoff_seconds": 0.01, "attempts": 3, "key_env": "", "reasks": 2}
_HEAD = (
    "| the endpoint says | requests for the 1st, 2nd, 3rd call | what is sent in the end | the user sees |\n"
    "|---|---|---|---|\n"
)


@dataclass(frozen=True)
class Fault:
    """A fault and the request that meets it."""

    says: str
    """The endpoint's words, or what it does."""
    rule: dict[str, Any]
    """Of `scripted_faults.py`; the words are put into it."""
    request: dict[str, Any] = field(default_factory=dict)


def _error(status: int, says: str, request: dict[str, Any] | None = None, **rule: Any) -> Fault:
    return Fault(says, {"status": status, "error": {"error": {"message": says}}, **rule}, request or {})


_QUOTA = {"message": "You exceeded your current quota", "code": "insufficient_quota"}
_SEED = {"message": "Invalid request", "param": "seed"}
_NOWHERE = {"message": "No endpoints found", "code": 404}

FAULTS = (
    _error(400, "API key not valid. Please pass a valid API key."),
    _error(400, "Model Not Exist"),
    _error(400, "Bad Request"),
    _error(401, "Incorrect API key provided"),
    _error(402, "Insufficient Balance"),
    _error(404, "The model does not exist"),
    Fault("You exceeded your current quota", {"status": 429, "error": {"error": _QUOTA}}),
    _error(400, "content is not allowed", text="1 + 1"),
    _error(403, "blocked by the firewall", text="1 + 1"),
    _error(
        400,
        "'max_tokens' is too large: {max_tokens}. This model's maximum context length is 2048 tokens and your request "
        "has {prompt} input tokens ({max_tokens} > 2048 - {prompt}).",
        above={"total": 2048},
    ),
    _error(
        400,
        "max_tokens is too large: {max_tokens}. This model supports at most 1024 completion tokens.",
        above={"max_tokens": 1024},
    ),
    _error(400, "Invalid max_tokens value, the valid range of max_tokens is [1, 1024]", above={"max_tokens": 1024}),
    Fault("(cuts every reply at 1,024 tokens)", {"cap": 1024}),
    _error(
        400,
        "Unsupported parameter: 'max_tokens' is not supported. Use 'max_completion_tokens' instead.",
        has="max_tokens",
    ),
    _error(400, "System role not supported", roles="system"),
    _error(500, "Jinja Exception: System role not supported", roles="system"),
    _error(
        400,
        "Conversation roles must alternate user/assistant/user/assistant/...",
        {"late": True},
        roles="not_alternating",
    ),
    _error(400, "temperature out of range: 0..1", {"temperature": 1.5}, above={"temperature": 1}),
    _error(422, "`temperature` must be strictly positive", {"temperature": 0.0}, below={"temperature": 0.001}),
    Fault("Invalid request (param: seed)", {"status": 400, "has": "seed", "error": {"error": _SEED}}),
    _error(400, "Expected 'n' <= 4, but got {n}", {"n": 8}, above={"n": 4}),
    _error(400, "response_format json_schema is not supported", {"json_keys": ("answer",)}, has="json_schema"),
    _error(500, "internal error", times=1),
    _error(500, "internal error"),
    _error(429, "slow down", times=2, headers={"Retry-After": "0"}),
    Fault("(status 200) No endpoints found, code 404", {"body": {"error": _NOWHERE}}),
    Fault("(finish_reason insufficient_system_resource)", {"finish": "insufficient_system_resource", "times": 1}),
    Fault("(finish_reason MAX_TOKENS, content empty)", {"finish": "MAX_TOKENS", "content": "", "cap": 4097}),
)


def rows(server: Any) -> list[str]:
    """Measure all faults against a server of `conftest.ServerHandle`; one line of the table each."""
    return [_row(server, fault) for fault in FAULTS]


def table(server: Any) -> str:
    """The table, as it stands in the page."""
    return _HEAD + "".join(f"{row}\n" for row in rows(server))


def _row(server: Any, fault: Fault) -> str:
    server.obey(fault.rule)
    counts, seen = asyncio.run(_meet(server, fault))
    log = server.report()["log"]
    answered = [body for body, status in log if status == 200]
    status = fault.rule.get("status", 200)
    says = fault.says.replace("|", "\\|")
    told = f"{status}: {says}" if status != 200 else says
    sent = _changes(log[0][0], answered[-1]) if answered else "-"
    address = server.base_url
    return f"| {told} | {', '.join(map(str, counts))} | {sent} | {seen.replace(address, 'URL')} |"


async def _meet(server: Any, fault: Fault) -> tuple[list[int], str]:
    fields = dict(fault.request)
    late = [{"role": "system", "content": "Be brief."}] if fields.pop("late", False) else []
    executor = make_executor("openai:m", {**_CONFIG, "base_url": server.base_url})
    counts, seen, before = [], [], 0
    for a in (1, 2, 3):
        hello = [{"role": "user", "content": "Hello."}] if late else []
        question = {"role": "user", "content": f"{a} + 1 ="}
        request = ChatRequest(({"role": "system", "content": "You are helpful."}, *hello, *late, question), **fields)
        try:
            reply = await executor.complete(request)
            seen.append("the answer" if reply.completions[0].finish_reason == "stop" else "a reply marked as cut")
        except W4SError as error:
            kind = ExecutorUnavailable if isinstance(error, ExecutorUnavailable) else type(error)
            seen.append(f"`{kind.__name__}`: {error}")
        total = (await asyncio.to_thread(server.report))["requests"]
        counts.append(total - before)
        before = total
    await executor.close()
    return counts, seen[0] if seen[0] == seen[-1] or seen[1] != "the answer" else f"{seen[0]}; then the answer"


def _changes(first: dict[str, Any], last: dict[str, Any]) -> str:
    """How the last body differs from the first one, the question apart."""
    found = []
    for name in sorted({*first, *last} - {"messages", "seed" if "seed" in last else ""}):
        if first.get(name) != last.get(name):
            now = "left out" if name not in last else last[name]
            found.append(f"`{name}` {now['type'] if isinstance(now, dict) else now}")
    roles = [[m["role"] for m in body["messages"]] for body in (first, last)]
    if roles[0] != roles[1]:
        found.append(f"roles {', '.join(roles[1])}")
    return "; ".join(found) or "the same"


def main() -> None:
    """Measure the faults and write the table into the page."""
    sys.path.insert(0, str(Path(__file__).parent))
    from conftest import ServerHandle

    server = ServerHandle()
    try:
        text = PAGE.read_text(encoding="utf-8")
        before, _, rest = text.partition(BEGIN)
        PAGE.write_text(f"{before}{BEGIN}\n\n{table(server)}\n{END}{rest.partition(END)[2]}", encoding="utf-8")
    finally:
        server.close()


if __name__ == "__main__":
    main()
