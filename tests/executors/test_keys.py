from __future__ import annotations

import copy
import json
import logging
import pickle
import traceback

import pytest

from w4s_gym.errors import ConfigError, ExecutorUnavailable
from w4s_gym.executors import make_executor
from w4s_gym.executors.config import EndpointConfig
from w4s_gym.executors.keys import find_key, redact
from w4s_gym.options import from_fields

KEY = "sk-test-0123456789abcdef"


def test_a_missing_key_is_named(monkeypatch):
    with pytest.raises(ConfigError, match="OPENAI_API_KEY"):
        make_executor("openai:gpt-4o-mini")
    with pytest.raises(ConfigError, match="MY_KEY"):
        make_executor("openai:m", {"base_url": "http://localhost:1/v1", "key_env": "MY_KEY"})
    with pytest.raises(ConfigError, match="AZURE_OPENAI_API_KEY"):
        make_executor("openai:d", {"azure_endpoint": "https://x.openai.azure.com", "azure_api_version": "2024-10-21"})


def test_an_endpoint_of_ones_own_needs_no_key():
    make_executor("openai:m", {"base_url": "http://localhost:1/v1"})
    make_executor("openai:m", {"key_env": ""})


@pytest.mark.parametrize(
    "written", [f"{KEY}\n", f"  {KEY}\r\n", f'"{KEY}"', f"'{KEY}'\n", f"Bearer {KEY}", f"\ufeff{KEY}"]
)
def test_what_is_pasted_along_with_a_key_is_left_out(monkeypatch, written):
    monkeypatch.setenv("OPENAI_API_KEY", written)
    assert find_key(EndpointConfig()) == KEY


@pytest.mark.parametrize(
    "written", ["sk-\u201cquoted\u201d-0123", "sk-two\nlines-0123", "sk with spaces 0123", "sk-\x07bell-0123"]
)
def test_a_key_that_cannot_be_sent_names_its_variable_and_not_itself(monkeypatch, written):
    monkeypatch.setenv("MY_KEY", written)
    with pytest.raises(ConfigError, match="MY_KEY") as caught:
        make_executor("openai:m", {"key_env": "MY_KEY"})
    assert written not in str(caught.value)


@pytest.mark.parametrize(
    "url", ["localhost:8000/v1", "htp://x/v1", "http://", "http://x:80o0/v1", "http://a b/v1", "//x/v1"]
)
@pytest.mark.parametrize("name", ["base_url", "azure_endpoint", "OPENAI_BASE_URL"])
def test_an_unclean_address_names_where_it_is_written(monkeypatch, url, name):
    monkeypatch.setenv("OPENAI_BASE_URL", url)
    config = {"OPENAI_BASE_URL": {}, "azure_endpoint": {name: url, "azure_api_version": "1"}}.get(name, {name: url})
    with pytest.raises(ConfigError, match=name):
        make_executor("openai:m", {"key_env": "", **config})


@pytest.mark.parametrize(
    "url", [" http://x:1/v1\n", "'http://x:1/v1'", "http://x:1/v1/", "http://x:1/v1/chat/completions"]
)
def test_what_is_pasted_along_with_an_address_is_left_out(url):
    assert EndpointConfig(base_url=url).url == "http://x:1/v1"


def test_the_key_file_is_read_but_not_inside_a_repository(monkeypatch, tmp_path):
    file = tmp_path / "keys" / "w4s.env"
    file.parent.mkdir()
    file.write_text(f"\ufeffOPENAI_API_KEY={KEY}\n", encoding="utf-8")  # some editors put the mark in front
    monkeypatch.setenv("W4S_ENV_FILE", str(file))
    make_executor("openai:m")
    (tmp_path / ".git").mkdir()
    with pytest.raises(ConfigError, match="git repository") as caught:
        make_executor("openai:m")
    assert KEY not in str(caught.value)


def test_no_key_in_errors_logs_recordings_and_reprs(serve, question, run, monkeypatch, tmp_path, caplog, capfd):
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    caplog.set_level(logging.DEBUG)
    server = serve("--reject-key")  # says the key in its error message
    recording = tmp_path / "r.jsonl"
    config = {"base_url": server.base_url, "cache_folder": str(tmp_path / "cache")}
    executor = make_executor(f"record:{recording}@openai:m", config)

    async def ask() -> str:
        try:
            await executor.complete(question(1))
        except ExecutorUnavailable as error:
            return "".join(traceback.format_exception(error))
        finally:
            await executor.close()
        raise AssertionError("the server refused the key")

    told = run(ask())
    assert "401" in told
    assert "[key]" in told  # so the server did say it
    cached = b"".join(p.read_bytes() for p in (tmp_path / "cache").rglob("*") if p.is_file())
    seen = [told, caplog.text, *capfd.readouterr(), recording.read_text(), repr(executor), repr(executor.inner.inner)]
    assert all(KEY not in text for text in seen)
    assert KEY.encode() not in cached


def test_a_key_that_a_reply_repeats_is_not_recorded(serve, question, run, monkeypatch, tmp_path):
    monkeypatch.setenv("OPENAI_API_KEY", "12345678901")
    server = serve()
    recording = tmp_path / "r.jsonl"
    executor = make_executor(f"record:{recording}@openai:m", {"base_url": server.base_url})
    reply = run(executor.complete(question(12345678900)))  # the sum is the key
    assert "12345678901" in reply.completions[0].text
    assert "12345678901" not in recording.read_text()
    assert "[key]" in recording.read_text()
    assert redact("a 12345678901 b") == "a [key] b"


def test_the_password_in_a_url_is_not_part_of_names(monkeypatch):
    config = from_fields(EndpointConfig(), {"base_url": "http://me:secret@host:8000/v1?token=abc"}, "executor config")
    assert config.endpoint == "http://host:8000/v1"


def test_the_config_is_plain_data_and_checked():
    config = {"base_url": "http://localhost:1/v1", "extra": {"top_p": 0.5}, "price": {"input": 1.0, "output": 2.0}}
    assert copy.deepcopy(config) == json.loads(json.dumps(config)) == pickle.loads(pickle.dumps(config))
    made = from_fields(EndpointConfig(), config, "executor config")
    assert pickle.loads(pickle.dumps(made)) == made
    for wrong, word in [
        ({"bse_url": "x"}, "bse_url"),
        ({"price": {"inputs": 1}}, "price"),
        ({"attempts": 0}, "attempts"),
        ({"azure_endpoint": "https://x"}, "azure_api_version"),
        ({"extra": {"api_key": "x"}}, "key_env"),
    ]:
        with pytest.raises(ConfigError, match=word):
            from_fields(EndpointConfig(), wrong, "executor config")
    with pytest.raises(ConfigError, match="capabilities"):
        make_executor("openai:m", {"base_url": "http://localhost:1/v1", "capabilities": {"telepathy": True}})
