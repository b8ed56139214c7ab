"""What an endpoint says when it does not answer: read from any of the forms in which servers write errors."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any

from w4s_gym.executors.keys import redact

_LONGEST = 500
_REFUSALS = (400, 403, 413, 422, 451, 501)
"""Either this request or all requests are refused: the status alone does not say which."""
_DENIALS = (401, 402, 404, 405, 410)
_NO_MONEY = re.compile(
    r"insufficient[_ ](?:quota|balance|credit|fund)|billing_hard_limit|exceeded_current_quota|arrear|"
    r"out of credits?|(?:balance|credit)s? (?:is |are )?(?:too low|exhausted|used up)|no credits|余额不足",
    re.IGNORECASE,
)
_ROLES = re.compile(
    r"\broles?\b|alternat|(?:system|developer)[ _](?:message|prompt|instruction)|prefill|"
    r"(?:first|last) message|end with a user",
    re.IGNORECASE,
)
_TEMPLATE = re.compile(r"jinja|chat.?template|TemplateError|raise_exception", re.IGNORECASE)


@dataclass(frozen=True)
class Complaint:
    """An error of an endpoint."""

    status: int
    message: str
    """In the endpoint's words; keys are taken out."""
    param: str = ""
    """Part of the request that it names."""
    code: str = ""

    def __str__(self) -> str:
        named = f" ({self.param})" if self.param and self.param not in self.message else ""
        return f"status {self.status}: {self.message.rstrip('.')}{named}"

    @property
    def about_roles(self) -> bool:
        """Whether it is about the roles of the messages or their order."""
        return self.param.startswith("messages") or bool(_ROLES.search(self.message))

    @property
    def is_refusal(self) -> bool:
        """Whether sending the same again is no use, but another request may be answered."""
        if self.status == 429:  # one request larger than a minute's allowance
            return "too large" in self.message.lower() and not self.is_denial
        # llama.cpp and others report a chat template that raises as an error of theirs.
        raised = self.status == 500 and _TEMPLATE.search(self.message)
        return self.status in _REFUSALS or bool(raised and self.about_roles)

    @property
    def is_denial(self) -> bool:
        """Whether the endpoint answers nobody with this key, model and account."""
        if self.status == 429:
            return bool(_NO_MONEY.search(f"{self.code} {self.message}"))
        return self.status in _DENIALS


def read_complaint(status: int, body: Any) -> Complaint:
    """Read the body of a response with an error.

    Args:
        status: of HTTP, or the one that the body of a response with status 200 names.
        body: parsed JSON or text: an error as OpenAI, Azure, Google, FastAPI or Ollama write it, or anything else.
    """
    if isinstance(body, str):
        try:
            body = json.loads(body.lstrip("\ufeff"))
        except ValueError:
            return Complaint(status, _clean(body))
    if isinstance(body, list) and len(body) == 1:
        body = body[0]
    if isinstance(body, dict) and isinstance(body.get("error"), dict | str | list):
        body = body["error"]
    if not isinstance(body, dict):
        return Complaint(status, _clean(body if isinstance(body, str) else json.dumps(body)))
    words = next((body[name] for name in ("message", "detail", "error", "msg") if body.get(name)), None)
    param = body.get("param")
    if isinstance(words, list):  # FastAPI: [{"loc": ["body", "temperature"], "msg": "..."}]
        places = [".".join(map(str, p.get("loc", ()))).removeprefix("body.") for p in words if isinstance(p, dict)]
        param = param or next(iter(places), None)
        words = "; ".join(str(p.get("msg", p)) if isinstance(p, dict) else str(p) for p in words)
    message = words if isinstance(words, str) else json.dumps(body, ensure_ascii=False)
    code = f"{body.get('code') or ''} {body.get('type') or ''}".strip()
    return Complaint(status, _clean(message), str(param or ""), code)


def _clean(text: str) -> str:
    """The words of a message or of a page of HTML, in one line."""
    if "<html" in text[:500].lower():
        text = re.sub(r"(?s)<(style|script).*?</\1>|<[^>]*>", " ", text)
    return redact(" ".join(text.split()))[:_LONGEST] or "no message"
