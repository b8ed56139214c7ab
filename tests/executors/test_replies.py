"""Reading what comes back with status 200, and when to ask again."""

from __future__ import annotations

import email.utils
import json
import time

import pytest

from w4s_gym.executors.exchange import _retry_after
from w4s_gym.executors.replies import ErrorInside, NoAnswer, finish_reason, read_answer


def reply(*ends: object, text: str = "42") -> str:
    choices = [{"message": {"content": text}, "finish_reason": end} for end in ends]
    return json.dumps({"choices": choices, "usage": {"prompt_tokens": 3, "completion_tokens": 5}})


@pytest.mark.parametrize("end", ["stop", "STOP", "FinishReason.STOP", "end_turn", "EndTurn", "eos_token",
                                 "stop_sequence", "COMPLETE", None, ""])  # fmt: skip
def test_synonyms_of_stop(end):
    assert finish_reason(end) == "stop"


@pytest.mark.parametrize("end", ["length", "MAX_TOKENS", "max_output_tokens", "maxTokens", "model_length",
                                 "token_limit", "FINISH_REASON_MAX_TOKENS", "context_window_exceeded"])  # fmt: skip
def test_synonyms_of_length(end):
    assert finish_reason(end) == "length"


@pytest.mark.parametrize("end", ["insufficient_system_resource", "error", "ERROR", "network_error", "abort",
                                 "cancelled", "timeout", "server_overloaded"])  # fmt: skip
def test_half_a_reply_is_no_answer(end):
    with pytest.raises(NoAnswer, match=end):
        read_answer(reply(end), {}, 0.1, 0)
    answer = read_answer(reply("stop", end), {}, 0.1, 0)
    assert len(answer.completions) == answer.broken == 1


def test_a_byte_order_mark_in_front_of_a_reply_does_no_harm():
    assert read_answer("\ufeff" + reply("stop"), {}, 0.1, 0).completions[0].text == "42"


@pytest.mark.parametrize(("error", "status"), [({"message": "no credits", "code": 402}, 402), ("busy", 500)])
def test_an_error_inside_a_reply_keeps_its_words(error, status):
    with pytest.raises(ErrorInside) as caught:
        read_answer(json.dumps({"error": error}), {}, 0.1, 0)
    assert caught.value.complaint.status == status
    assert caught.value.complaint.message in ("no credits", "busy")


@pytest.mark.parametrize("ahead", [3600, 0, -3600])
def test_a_date_to_ask_again_is_by_the_servers_own_clock(ahead):
    now = time.time() + ahead
    headers = {
        "retry-after": email.utils.formatdate(now + 7, usegmt=True),
        "date": email.utils.formatdate(now, usegmt=True),
    }
    assert _retry_after(headers) == 7.0


def test_a_date_without_a_clock_is_by_ours():
    assert _retry_after({"retry-after": email.utils.formatdate(time.time() + 9)}) == pytest.approx(9, abs=1.5)
