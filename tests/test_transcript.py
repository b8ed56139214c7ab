import dataclasses
import json

import pytest

from w4s_gym.benchmark import get_benchmark, register_benchmark
from w4s_gym.errors import ConfigError
from w4s_gym.executors.base import ChatReply, ChatRequest, Completion
from w4s_gym.transcript import Transcript
from w4s_gym.usage import Usage

register_benchmark("ToySecret", lambda: dataclasses.replace(get_benchmark("Toy"), name="ToySecret", confidential=True))


def call(text: str) -> tuple[ChatRequest, ChatReply]:
    request = ChatRequest(({"role": "user", "content": f"ask {text}"},))
    return request, ChatReply((Completion(f"answer {text}"),), Usage())


def test_calls_are_kept_up_to_the_limit_and_the_rest_is_counted():
    kept = Transcript(60)
    for text in ("one", "two", "three"):
        kept.add(*call(text))
    assert kept.text.startswith("call 1\n[user] ask one\n[reply] answer one\n")
    assert "(cut)" in kept.text and "(1 more calls)" in kept.text and "three" not in kept.text
    assert len(kept.text) < 60 + 40


def test_nothing_is_kept_unless_it_is_asked_for():
    kept = Transcript(0)
    kept.add(*call("one"))
    assert kept.text == ""


def evaluations(env, path) -> list[dict]:
    env.reset(seed=1)
    return [r for r in map(json.loads, path.read_text().splitlines()) if r["kind"] == "evaluation"]


def test_the_journal_says_how_items_failed_and_what_was_asked_on_some_of_them(toy_env, tmp_path):
    path = tmp_path / "journal.jsonl"
    (record,) = evaluations(toy_env(journal=str(path), limits={"transcript": 400}), path)
    failed = {item for item, _, score in record["items"] if score < 1}
    assert set(record["failed"]) == failed and set(record["failed"].values()) == {"answered 'wrong'"}
    assert 0 < len(record["transcripts"]) <= 3 and set(record["transcripts"]) <= failed
    for item, text in record["transcripts"].items():
        assert "[user]" in text and f"Item number {item.removeprefix('toy/')}" in text and len(text) < 400 + 40


def test_transcripts_are_off_by_default_and_confidential_benchmarks_have_no_texts(toy_env, tmp_path):
    plain, secret = tmp_path / "plain.jsonl", tmp_path / "secret.jsonl"
    assert "transcripts" not in evaluations(toy_env(journal=str(plain)), plain)[0]
    env = toy_env("ToySecret", journal=str(secret), limits={"transcript": 80})
    assert {"failed", "transcripts"}.isdisjoint(evaluations(env, secret)[0])
    assert "wrong" not in secret.read_text()


def test_a_limit_that_cannot_be_used_is_refused(toy_env):
    with pytest.raises(ConfigError, match=r"limits\.transcript"):
        toy_env(limits={"transcript": -1})
