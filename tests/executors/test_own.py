"""Executors of users: from a file, or registered."""

import pytest

from w4s_gym.errors import ConfigError, UnknownExecutor
from w4s_gym.executors import check_executor, make_executor, register_executor
from w4s_gym.executors.cache import CachedExecutor

ECHO = """
from w4s_gym.executors import ChatReply, Completion
from w4s_gym.usage import Usage

class Echo:
    name = "echo"
    simulated = False

    def __init__(self, suffix="!"):
        self.suffix = suffix

    async def complete(self, request):
        text = request.messages[-1]["content"] + self.suffix
        return ChatReply((Completion(text),) * request.n, Usage(calls=1))

    async def close(self):
        pass

class Mute:
    name = "mute"

class Stored(Echo):
    identity = "stored"
    def most(self, request): return 1, 0.0
    def batch_size(self): return 1
    def repeats(self, request): return False
    async def ask(self, request): return await self.complete(request)

number = 3
"""


@pytest.fixture
def echo(tmp_path):
    (tmp_path / "echo.py").write_text(ECHO)
    return tmp_path / "echo.py"


def test_an_executor_of_a_file_is_made_with_its_options(echo):
    executor = make_executor(f"{echo}:Echo", {"suffix": "?"})
    assert (executor.name, executor.suffix) == ("echo", "?")


def test_replies_are_stored_where_the_executor_can_be_cached(echo, tmp_path):
    caching = {"cache_folder": str(tmp_path / "replies")}
    assert isinstance(make_executor(f"{echo}:Stored", caching), CachedExecutor)
    assert make_executor(f"{echo}:Echo", caching).name == "echo"


@pytest.mark.parametrize(
    ("name", "config", "message"),
    [
        ("Ecko", {}, "did you mean 'Echo'"),
        ("Echo", {"sufix": "?"}, "did you mean 'suffix'"),
        ("Mute", {}, "it has no simulated, complete, close"),
        ("number", {}, "class or function"),
    ],
)
def test_what_is_no_executor_is_refused(echo, name, config, message):
    with pytest.raises(ConfigError, match=message):
        make_executor(f"{echo}:{name}", config)


def test_a_registered_scheme_makes_executors(echo):
    made = make_executor(f"{echo}:Echo")
    register_executor("parrot", lambda rest, volume=1: made)
    assert make_executor("parrot:grey", {"volume": 3}) is made
    with pytest.raises(ConfigError, match="did you mean 'volume'"):
        check_executor("parrot:grey", {"volumes": 3})
    with pytest.raises(UnknownExecutor, match="'parrot:"):
        check_executor("parot:grey")


@pytest.mark.parametrize("scheme", ["sim", "a b", ""])
def test_a_scheme_that_cannot_be_used_is_refused(scheme):
    with pytest.raises(ConfigError, match="scheme"):
        register_executor(scheme, lambda rest: None)
