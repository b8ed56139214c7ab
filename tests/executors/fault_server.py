"""A local OpenAI-compatible endpoint that fails on purpose, seeded, and keeps count of what it billed.

It answers sums: the last message ends with `a + b =`, the reply holds their sum. Its answer to a request depends on the
request alone; which requests fail depends on the seed and on how often the same request was made before.

Run it as a program; it prints one JSON line with its address and serves until its standard input closes:

    python tests/executors/fault_server.py --latency 0.2 --slots 64
    python tests/executors/fault_server.py --faults 0.3 --seed 1

`GET /report` tells what happened; `POST /reset` forgets it; `POST /rules` sets the rules of `scripted_faults.py`.
"""

from __future__ import annotations

import argparse
import asyncio
import collections
import hashlib
import json
import re
import sys
from typing import Any

from scripted_faults import Rule, filled, matches, uses

FAULTS = ("rate_limit", "server_error", "timeout", "reset", "empty", "truncated", "not_json", "garbled")
_QUESTION = re.compile(r"(\d+) \+ (\d+) =\s*$")


class Server:
    """One endpoint with its books."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options
        self.report: dict[str, Any] = {}
        self.rules: list[Rule] = []
        self.forget()

    def forget(self) -> None:
        """Start with empty books."""
        self.asked: collections.Counter[str] = collections.Counter()
        self.busy = 0
        self.report = {
            "requests": 0,
            "peak": 0,
            "faults": dict.fromkeys(FAULTS, 0),
            "refused": 0,
            "delivered": 0,  # whole replies handed to the client: billed, and the client knows their price
            "prompt_tokens": 0,
            "completion_tokens": 0,
            "lost": 0,  # billed replies that the client never got whole
            "served": {},  # question -> how often it was delivered with a usable answer
            "bodies": [],  # names of the fields of the distinct kinds of bodies seen
            "paths": [],
            "keys": [],
            "log": [],  # the bodies of all requests and the status that each got, while rules are set
        }

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection until it closes."""
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                request_line, *lines = head.decode().split("\r\n")
                headers = {k.lower(): v.strip() for k, _, v in (line.partition(":") for line in lines) if k}
                body = await reader.readexactly(int(headers.get("content-length", 0)))
                _, path, _ = request_line.split(" ", 2)
                if path == "/report":
                    await self.send(writer, 200, self.report)
                elif path in ("/reset", "/rules"):
                    self.forget()
                    self.rules = json.loads(body) if path == "/rules" else []
                    await self.send(writer, 200, {})
                elif not await self.chat(path, headers, json.loads(body), writer):
                    break
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    async def chat(
        self, path: str, headers: dict[str, str], body: dict[str, Any], writer: asyncio.StreamWriter
    ) -> bool:
        """Answer a chat request; return False when the connection was broken."""
        options, report = self.options, self.report
        report["requests"] += 1
        key = f"api-key: {headers['api-key']}" if "api-key" in headers else headers.get("authorization", "")
        for name, value in (("bodies", sorted(body)), ("paths", path), ("keys", key)):
            if value not in report[name]:
                report[name].append(value)
        rule = next((rule for rule in self.rules if matches(rule, body)), None)
        if self.rules:
            report["log"].append([body, rule.get("status", 200) if rule else 200])
        if rule is not None:
            rule["times"] = rule.get("times", 10**9) - 1
            if "status" in rule or "body" in rule:
                content = filled(rule.get("error", rule.get("body")), body)
                raw = content.encode() if isinstance(content, str) else content
                await self.send(writer, rule.get("status", 200), raw, rule.get("headers"))
                return True
        if self.busy >= options.slots:
            report["refused"] += 1
            await self.send(writer, 429, error("too many requests"), {"Retry-After": "0"})
            return True
        refused = next((name for name in options.unsupported if uses(body, name)), None)
        if refused:
            report["refused"] += 1
            await self.send(writer, 400, error(f"Unsupported parameter: {refused!r} is not supported", refused))
            return True
        if options.key_letters and sum(map(len, schema_keys(body))) > options.key_letters:
            report["refused"] += 1
            await self.send(writer, 400, error("json_schema: too many characters in the names of properties"))
            return True
        if options.poison and options.poison in json.dumps(body):
            await self.send(writer, 500, error("internal error"))
            return True
        if options.reject_key:
            await self.send(writer, 401, error(f"Incorrect API key provided: {key}"))
            return True
        self.busy += 1
        report["peak"] = max(report["peak"], self.busy)
        try:
            return await self.reply(body, writer, rule or {})
        finally:
            self.busy -= 1

    async def reply(self, body: dict[str, Any], writer: asyncio.StreamWriter, rule: Rule) -> bool:
        """Answer, or fail as the seed says."""
        options, report = self.options, self.report
        question = body["messages"][-1]["content"]
        fault = self.fault(json.dumps(body, sort_keys=True))
        if fault:
            report["faults"][fault] += 1
        await asyncio.sleep(options.latency)
        if fault == "rate_limit":
            await self.send(writer, 429, error("slow down"), {"Retry-After": "0", "retry-after-ms": "20"})
            return True
        if fault == "server_error":
            await self.send(writer, 500, error("internal error"))
            return True
        count = 1 if options.ignore_n else int(body.get("n", 1))
        texts = [answer(question, body, options.mistakes) for _ in range(count)]
        finish = "stop"
        if fault == "empty":
            texts = ["" for _ in texts]
        if fault == "truncated":
            texts, finish = [text[: len(text) // 2] for text in texts], "length"
        if fault == "not_json":
            texts = ["Sure! The answer is " + text.strip('{}"') for text in texts]
        if "content" in rule:
            texts = [rule["content"] for _ in texts]
        if "cap" in rule:
            texts, finish = ["x" * (rule["cap"] - 1) for _ in texts], "length"
        finish = rule.get("finish", finish)
        usage = {"prompt_tokens": len(question), "completion_tokens": sum(1 + len(t) for t in texts)}
        choices = [
            {"index": i, "message": {"role": "assistant", "content": text}, "finish_reason": finish}
            for i, text in enumerate(texts)
        ]
        whole = {"object": "chat.completion", "choices": choices, "usage": None if options.unmetered else usage}
        if fault == "timeout":
            report["lost"] += 1
            await asyncio.sleep(options.hang)
            return False
        if fault == "reset":
            report["lost"] += 1
            data = json.dumps(whole).encode()
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n")
            writer.write(b"Content-Length: %d\r\n\r\n" % len(data) + data[: len(data) // 2])
            await writer.drain()
            writer.transport.abort()
            return False
        if fault == "garbled":
            report["lost"] += 1
            await self.send(writer, 200, b"<html>Bad gateway</html>")
            return True
        report["delivered"] += 1
        report["prompt_tokens"] += usage["prompt_tokens"]
        report["completion_tokens"] += usage["completion_tokens"]
        if fault is None:
            report["served"][question] = report["served"].get(question, 0) + count
        await self.send(writer, 200, whole)
        return True

    def fault(self, request: str) -> str | None:
        """Choose the fault of this request, or none."""
        self.asked[request] += 1
        text = f"{self.options.seed}/{self.asked[request]}/{request}"
        draw = uniform(text)
        kinds = self.options.kinds
        return kinds[int(draw / self.options.faults * len(kinds))] if draw < self.options.faults else None

    async def send(
        self, writer: asyncio.StreamWriter, status: int, body: Any, headers: dict[str, str] | None = None
    ) -> None:
        """Send one response."""
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        kind = "text/html" if isinstance(body, bytes) else "application/json"
        lines = [f"HTTP/1.1 {status} -", f"Content-Type: {kind}", f"Content-Length: {len(data)}"]
        lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
        writer.write("\r\n".join(lines).encode() + b"\r\n\r\n" + data)
        await writer.drain()


def answer(question: str, body: dict[str, Any], mistakes: float) -> str:
    """Return the reply: the sum (a wrong one for a share of the questions), as JSON if asked for, else plain."""
    found = _QUESTION.search(question)
    total = str(int(found.group(1)) + int(found.group(2)) + (uniform(question) < mistakes)) if found else "no question"
    if body.get("response_format", {}).get("type") == "json_schema":
        keys = body["response_format"]["json_schema"]["schema"]["required"]
        return json.dumps(dict.fromkeys(keys, total))
    if uses(body, "json_object"):
        return json.dumps({"answer": total})
    return total


def uniform(text: str) -> float:
    """Return a number in [0, 1) that depends on the text alone."""
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big") / 2**64


def schema_keys(body: dict[str, Any]) -> list[str]:
    """Return the keys that a body's JSON schema demands."""
    return body.get("response_format", {}).get("json_schema", {}).get("schema", {}).get("required", [])


def error(message: str, param: str | None = None) -> dict[str, Any]:
    """Write an error as OpenAI does."""
    return {"error": {"message": message, "type": "invalid_request_error", "param": param, "code": None}}


async def main() -> None:
    """Serve until standard input closes."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--faults", type=float, default=0.0, help="share of requests that fail")
    parser.add_argument("--kinds", nargs="+", choices=FAULTS, default=list(FAULTS))
    parser.add_argument("--mistakes", type=float, default=0.0, help="share of questions with a wrong answer")
    parser.add_argument("--poison", default="", help="requests with this text always fail with 500")
    parser.add_argument("--key-letters", type=int, default=0, help="most letters in a schema's keys, else 400")
    parser.add_argument("--latency", type=float, default=0.0, help="seconds before a reply")
    parser.add_argument("--hang", type=float, default=30.0, help="seconds that a timeout lasts")
    parser.add_argument("--slots", type=int, default=1000, help="requests at once; more are refused with 429")
    parser.add_argument("--unsupported", nargs="*", default=[], help="features that are refused with 400")
    parser.add_argument("--ignore-n", action="store_true", help="always return one choice")
    parser.add_argument("--unmetered", action="store_true", help="report no tokens")
    parser.add_argument("--reject-key", action="store_true", help="refuse the key, and repeat it in the message")
    server = Server(parser.parse_args())
    listener = await asyncio.start_server(server.handle, "127.0.0.1", server.options.port)
    port = listener.sockets[0].getsockname()[1]
    print(json.dumps({"base_url": f"http://127.0.0.1:{port}/v1"}), flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(main())
