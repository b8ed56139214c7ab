"""Endpoints that refuse: what is the endpoint's, what is the request's, and what another wording mends."""

from __future__ import annotations

import asyncio

import pytest

from w4s_gym.errors import ExecutorUnavailable, RequestRefused
from w4s_gym.executors import ChatRequest, make_executor
from w4s_gym.executors.complaints import read_complaint

QUICK = {"attempt_seconds": 5.0, "backoff_seconds": 0.01, "price": {"input": 1.0, "output": 10.0}, "attempts": 3}
SYSTEM = {"role": "system", "content": "You are a helpful task solver."}


def plain(a: int, *before: dict[str, str], **fields) -> ChatRequest:
    return ChatRequest((*before, {"role": "user", "content": f"{a} + 1 ="}), **fields)


def ask(server, *requests: ChatRequest, **config):
    """Answers of the requests, one after another; errors in their place."""

    async def go() -> list[object]:
        executor = make_executor("openai:m", {**QUICK, "base_url": server.base_url, **config})
        found: list[object] = []
        for request in requests:
            try:
                found.append((await executor.complete(request)).completions[0].text)
            except (ExecutorUnavailable, RequestRefused) as error:
                found.append(error)
        await executor.close()
        return found

    return asyncio.run(go())


def sent(server) -> list[dict]:
    """Bodies that were answered."""
    return [body for body, status in server.report()["log"] if status == 200]


@pytest.fixture(scope="module")
def server():
    from tests.executors.conftest import ServerHandle

    handle = ServerHandle()
    yield handle
    handle.close()


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (400, {"error": {"message": "API key not valid. Please pass a valid API key.", "status": "INVALID_ARGUMENT"}}),
        (400, {"error": {"message": "Model Not Exist", "type": "invalid_request_error"}}),
        (400, [{"error": {"code": 400, "message": "Your account is in arrears, user role not permitted"}}]),
        (400, "Bad Request"),
        (422, {"detail": [{"loc": ["body", "model"], "msg": "model 'm' is not served"}]}),
        (403, {"message": "Access denied to temperature model", "code": 1010}),
        (401, {"error": {"message": "Incorrect API key provided"}}),
        (402, {"error": {"message": "Insufficient Balance"}}),
        (404, {"error": "model 'm' not found"}),
        (429, {"error": {"message": "You exceeded your current quota", "code": "insufficient_quota"}}),
        (429, {"error": {"message": "Insufficient balance, please recharge", "code": "1113"}}),
    ],
)
def test_an_endpoint_that_refuses_every_call_is_unavailable_in_its_own_words(server, status, error):
    server.obey({"status": status, "error": error})
    words = read_complaint(status, error).message
    for found in ask(server, plain(1, SYSTEM), plain(2, json_keys=("answer",), temperature=0.0, n=5)):
        assert isinstance(found, ExecutorUnavailable) and words in str(found)


def test_an_error_in_a_response_of_status_200_is_one(server):
    server.obey({"body": {"error": {"message": "No endpoints found for m", "code": 404}}})
    (found,) = ask(server, plain(1))
    assert isinstance(found, ExecutorUnavailable) and "No endpoints found" in str(found)


@pytest.mark.parametrize("status", [400, 403, 413, 422, 451])
def test_one_refused_prompt_among_good_ones_is_the_requests_own_fault(server, status):
    server.obey({"status": status, "text": "7 + 1", "error": {"error": {"message": "content is not allowed"}}})
    first, refused, last = ask(server, plain(1), plain(7), plain(2))
    assert (first, last) == ("2", "3")
    assert isinstance(refused, RequestRefused) and "content is not allowed" in str(refused)
    first, last = ask(server, plain(7), plain(1))  # also when it comes first
    assert isinstance(first, RequestRefused) and last == "2"


def test_an_endpoint_that_ceases_to_answer_is_unavailable(server):
    server.obey(
        {"status": 400, "text": "7 + 1", "error": "API key expired"},
        {"status": 400, "text": "Say OK", "error": "API key expired"},
    )
    first, last = ask(server, plain(1), plain(7))
    assert first == "2" and isinstance(last, ExecutorUnavailable) and "expired" in str(last)


WINDOW = [
    "'max_tokens' or 'max_completion_tokens' is too large: {max_tokens}. This model's maximum context length is 2048 "
    "tokens and your request has {prompt} input tokens ({max_tokens} > 2048 - {prompt}).",
    "This model's maximum context length is 2,048 tokens. However, you requested {total} tokens ({prompt} in the "
    "messages, {max_tokens} in the completion). Please reduce the length of the messages or completion.",
    "Input validation error: `inputs` tokens + `max_new_tokens` must be <= 2048. Given: {prompt} `inputs` tokens and "
    "{max_tokens} `max_new_tokens`",
    "input length and `max_tokens` exceed context limit: {prompt} + {max_tokens} > 2048, decrease input length or "
    "`max_tokens` and try again",
]


@pytest.mark.parametrize("words", WINDOW)
def test_what_the_context_window_leaves_is_asked_for_and_remembered(server, words):
    server.obey({"status": 400, "above": {"total": 2048}, "error": {"error": {"message": words}}})
    assert ask(server, *(plain(a, SYSTEM, json_keys=("answer",)) for a in (1, 2, 3)), plain(4, SYSTEM, temperature=0.0))
    bodies = sent(server)
    assert all(1900 < body["max_tokens"] <= 2048 - 34 for body in bodies)
    assert all({"seed", "temperature"} <= set(body) for body in bodies)
    assert len(server.report()["log"]) <= 6


CAPS = [
    "max_tokens is too large: {max_tokens}. This model supports at most 1024 completion tokens, whereas you provided "
    "{max_tokens}.",
    "Invalid max_tokens value, the valid range of max_tokens is [1, 1024]",
    "max_tokens: {max_tokens} > 1024, which is the maximum allowed number of output tokens for claude-9-20991231",
    "Unable to submit request because it has a maxOutputTokens value of {max_tokens} but the supported range is from 1 "
    "(inclusive) to 1025 (exclusive).",
    "Range of max_tokens should be [1,1024]",
    "Requests with max_tokens > 1024 must have stream=true",
    "max_tokens too high",
    "Bad Request",
]


@pytest.mark.parametrize("words", CAPS)
def test_a_cap_on_output_tokens_in_any_wording_is_learnt_and_the_rest_kept(server, words):
    server.obey({"status": 400, "above": {"max_tokens": 1024}, "error": {"error": {"message": words}}})
    assert ask(server, *(plain(a, SYSTEM) for a in (1, 2, 3))) == ["2", "3", "4"]
    before = len(server.report()["log"])
    assert ask(server, plain(9, max_tokens=100)) == ["10"]
    bodies = [b for b in sent(server) if "Say OK" not in str(b)]
    assert [b["max_tokens"] for b in bodies] == [1024] * 3 + [100]
    assert all({"seed", "temperature"} <= set(body) for body in bodies)
    assert before <= (5 if words != "Bad Request" else 20)


def test_a_silent_cap_on_replies_is_paid_for_twice_once(server):
    server.obey({"cap": 1024})
    ask(server, *(plain(a) for a in (1, 2, 3, 4)))
    assert len(server.report()["log"]) == 5


NO_SYSTEM = [
    (400, "System role not supported"),
    (400, {"error": {"message": "Developer instruction is not enabled for models/gemma-3-27b-it"}}),
    (422, {"detail": [{"loc": ["body", "messages", 0, "role"], "msg": "Input should be 'user' or 'assistant'"}]}),
    (400, {"error": {"message": "invalid value", "param": "messages[0].role"}}),
    (500, {"error": {"message": "While executing CallExpression: Jinja Exception: System role not supported"}}),
    (400, "Bad Request"),
]


@pytest.mark.parametrize(("status", "error"), NO_SYSTEM)
def test_where_there_is_no_system_role_its_text_goes_into_the_first_user_message(server, status, error):
    server.obey({"status": status, "roles": "system", "error": error})
    assert ask(server, *(plain(a, SYSTEM, json_keys=("answer",)) for a in (1, 2)), plain(3, SYSTEM)) == [
        '{"answer": "2"}', '{"answer": "3"}', "4",
    ]  # fmt: skip
    bodies = [b for b in sent(server) if "Say OK" not in str(b)]
    assert all(b["messages"] == [{"role": "user", "content": f"{SYSTEM['content']}\n\n{a} + 1 ="}]
               for a, b in zip((1, 2, 3), bodies, strict=True))  # fmt: skip
    assert all({"seed", "temperature", "max_tokens"} <= set(b) for b in bodies)
    refused = [b for b, s in server.report()["log"] if s != 200]
    assert len(refused) == 1 or error == "Bad Request"  # found out once


ORDERS = [
    "Conversation roles must alternate user/assistant/user/assistant/...",
    "After the optional system message, conversation roles must alternate user and assistant",
    "Expected last role User or Tool for serving but got assistant",
    "Unexpected role 'system' after role 'user'",
]


@pytest.mark.parametrize("words", ORDERS)
def test_a_strict_order_of_roles_is_kept_where_it_is_wanted(server, words):
    server.obey({"status": 400, "roles": "not_alternating", "error": {"message": words}})
    late = {"role": "system", "content": "Be brief."}
    chats = [
        plain(1, SYSTEM, {"role": "user", "content": "Hello."}, late),
        plain(2, {"role": "assistant", "content": "Ask me."}),
    ]
    assert ask(server, *chats, *chats) == ["2", "3", "2", "3"]
    assert len(server.report()["log"]) == 5
    assert sent(server)[0]["messages"] == [SYSTEM, {"role": "user", "content": "Hello.\n\nBe brief.\n\n1 + 1 ="}]


@pytest.mark.parametrize(
    ("refused", "error", "sends"),
    [
        (1.5, {"message": "temperature out of range: 0..1"}, 1.0),
        (1.5, {"message": "Invalid value", "param": "temperature"}, 1.0),
        (2.0, {"detail": [{"loc": ["body", "temperature"], "msg": "Input should be less than or equal to 1"}]}, 1.0),
    ],
)
def test_a_refused_temperature_is_not_a_refused_feature(server, refused, error, sends):
    server.obey(
        {"status": 400, "above": {"temperature": 1.0}, "error": {"error": error} if "detail" not in error else error}
    )
    ask(server, plain(1, temperature=refused), plain(2, temperature=0.3), plain(3, temperature=refused))
    assert [b["temperature"] for b in sent(server)] == [sends, 0.3, sends]
    assert all("seed" in b for b in sent(server))
    assert len(server.report()["log"]) == 4


def test_a_temperature_of_zero_that_is_refused_becomes_a_small_one(server):
    server.obey(
        {"status": 422, "below": {"temperature": 0.001}, "error": {"error": "`temperature` must be strictly positive"}}
    )
    assert ask(server, plain(1, temperature=0.0), plain(2, temperature=0.0), plain(3, temperature=0.7)) == [
        "2",
        "3",
        "4",
    ]
    assert [b["temperature"] for b in sent(server)] == [0.01, 0.01, 0.7]


def test_a_refused_number_of_samples_is_lowered_and_remembered(server):
    words = "Invalid 'n': integer above maximum value. Expected a value <= 4, but got {n} instead."
    server.obey({"status": 400, "above": {"n": 4}, "error": {"error": {"message": words}}})
    ask(server, plain(1, n=8), plain(2, n=8))
    counts = [b.get("n", 1) for b in sent(server)]
    assert counts[0] == 4 and counts[-2:] == [4, 4]


@pytest.mark.parametrize("name", ["seed", "temperature"])
def test_a_feature_that_only_param_names_is_left_out_alone(server, name):
    server.obey({"status": 400, "has": name, "error": {"error": {"message": "Invalid request", "param": name}}})
    assert ask(server, plain(1, SYSTEM), plain(2, SYSTEM)) == ["2", "3"]
    left = {"seed", "temperature", "max_tokens"} - {name}
    assert all(left <= set(b) and name not in b for b in sent(server))


@pytest.mark.parametrize("name", ["seed", "temperature", "n", "json_schema"])
def test_a_feature_that_nothing_names_is_found_and_the_others_are_kept(server, name):
    server.obey({"status": 400, "has": name, "error": "Bad Request"})
    requests = [
        plain(a, SYSTEM, json_keys=("answer",) if name == "json_schema" else (), n=1 + (name == "n")) for a in (1, 2, 3)
    ]
    ask(server, *requests)
    bodies = [b for b in sent(server) if "Say OK" not in str(b)]
    assert all(({"seed", "temperature", "max_tokens"} - {name}) <= set(b) for b in bodies)
