"""An OpenEnv server for many sessions: same numbers, shared parts, nothing leaks, long steps survive."""

import asyncio
import io
import runpy
import socket
import subprocess
import sys
import threading
import time
from contextlib import contextmanager, redirect_stdout

import pytest

from w4s_gym import cli

pytest.importorskip("openenv", reason="needs w4s-gym[openenv]")
import httpx
import uvicorn
from openenv import GenericEnvClient
from openenv.cli.__main__ import app as openenv_command
from openenv.cli._validation import validate_running_environment
from openenv.validation import CheckStatus, Verdict, run_validation
from openenv.validation.types import ProviderCapability
from typer.testing import CliRunner

from w4s_gym.integrations.openenv import WorkflowAction, WorkflowClient
from w4s_gym.integrations.openenv_server import make_app

OPTIONS = {"validation_size": 10, "test_size": 4, "self_test": False, "feedback_cases": 0}


@pytest.fixture
def slow(scripted):
    """Makes the executor wait before it answers; counts the calls that were given up."""
    answer, given_up = scripted.complete, []

    def set_delay(seconds):
        async def complete(request):
            try:
                await asyncio.sleep(seconds)
            except asyncio.CancelledError:
                given_up.append(request)
                raise
            return await answer(request)

        scripted.complete = complete
        return given_up

    return set_delay


@contextmanager
def serving(host, ping=0.3, **options):
    """A real server on a free port; pings are as often as in the big, but for the unit of time."""
    port = free_port()
    config = uvicorn.Config(
        make_app(host, **options), port=port, ws_ping_interval=ping, ws_ping_timeout=ping, log_level="error"
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        assert thread.is_alive()
        time.sleep(0.02)
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = server.force_exit = True
        thread.join(timeout=20)


def free_port():
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


def eventually(true, seconds=20):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if true():
            return True
        time.sleep(0.05)
    return False


async def play(url, texts, seed):
    async with WorkflowClient(url) as client:
        first = await client.reset(seed=seed, episode_id=f"e{seed}")
        steps = [await client.step(WorkflowAction(text=text)) for text in texts]
        return first, steps, await client.state()


def test_sessions_give_the_numbers_of_gymnasium_and_share_the_ledger(toy_env, right_in):
    texts = [right_in(9), right_in(2), "no workflow"]
    host, alone = toy_env(**OPTIONS), toy_env(**OPTIONS)
    with serving(host, ping=20.0) as url:

        async def both():
            return await asyncio.gather(play(url, texts, 1), play(url, texts, 2))

        for seed, (first, steps, state) in zip((1, 2), asyncio.run(both()), strict=True):
            observation, info = alone.reset(seed=seed)
            assert (first.observation.text, first.observation.metadata["split"]) == (observation, info["split"])
            for text, step in zip(texts, steps, strict=True):
                observation, reward, terminated, truncated, _ = alone.step(text)
                got = (step.observation.text, step.reward, step.done)
                assert got == (observation, reward, terminated or truncated)
                assert step.observation.messages == step.observation.messages
            assert (state.episode_id, state.step_count, state.best) == (f"e{seed}", 3, alone.state.best)
            assert state.simulated
    assert host.ledger.usage == alone.ledger.usage
    assert host.ledger.usage.calls > 0


def test_a_step_outlasts_many_pings_and_the_limit_of_idle_sessions(toy_env, right_in, slow):
    slow(0.7)
    with serving(toy_env(**OPTIONS), ping=0.2, idle_seconds=0.5) as url:

        async def one():
            options = {"websocket_ping_interval_s": 0.2, "websocket_ping_timeout_s": 0.2}
            async with WorkflowClient(url, **options) as client:
                await client.reset(seed=0)
                return await client.step(WorkflowAction(text=right_in(9)))

        assert asyncio.run(one()).reward == 1.0


def test_a_leaked_session_is_closed_and_makes_room(toy_env):
    with serving(toy_env(**OPTIONS), ping=20.0, sessions=1, idle_seconds=0.5) as url:

        async def leak_and_come_back():
            leaked = WorkflowClient(url)
            await leaked.connect()
            await leaked.reset(seed=0)
            async with WorkflowClient(url) as refused:
                with pytest.raises(Exception, match=r"(?i)capacity|session"):
                    await refused.reset(seed=0)
            await asyncio.sleep(1.0)
            async with WorkflowClient(url) as client:
                return await client.reset(seed=0)

        assert asyncio.run(leak_and_come_back()).observation.text


def test_a_client_that_goes_away_in_a_step_cancels_it_and_makes_room(toy_env, right_in, slow):
    host = toy_env(**OPTIONS)
    host.reset(seed=0)
    with serving(host, ping=20.0, sessions=1) as url:

        async def go_away():
            client = WorkflowClient(url)
            await client.connect()
            await client.reset(seed=0)
            given_up = slow(60)
            step = asyncio.create_task(client.step(WorkflowAction(text=right_in(9))))
            await asyncio.sleep(0.5)
            client._ws.transport.abort()
            with pytest.raises(Exception):  # noqa: B017  (whatever the connection says)
                await step
            return given_up

        given_up = asyncio.run(go_away())
        assert eventually(lambda: len(given_up) == 4)
        slow(0)
        assert asyncio.run(play(url, [right_in(9)], 0))[1][0].reward == 1.0


def test_a_reply_whose_fences_a_client_took_off_is_read(toy_env, right_in):
    """As verifiers sends a reply that is one code block: without its fences, in the one required field."""
    with serving(toy_env(**OPTIONS), ping=20.0) as url:
        schema = httpx.get(f"{url}/schema").json()["action"]
        (field,) = schema["required"]
        code = right_in(9).split("```python\n")[1].removesuffix("```").strip()

        async def bare():
            async with GenericEnvClient(url) as client:
                await client.reset(seed=0)
                return await client.step({field: code})

        assert asyncio.run(bare()).reward == 1.0


def test_bad_requests_are_refused_in_words_and_the_session_goes_on(toy_env, right_in):
    with serving(toy_env(**OPTIONS), ping=20.0) as url:

        async def wrong():
            async with WorkflowClient(url) as client:
                with pytest.raises(Exception, match=r"expected reset\(\)"):
                    await client.step(WorkflowAction(text="too early"))
                with pytest.raises(Exception, match="did you mean 'seed'"):
                    await client.reset(sed=1)
                await client.reset(seed=1)
                return await client.step(WorkflowAction(text=right_in(9)))

        assert asyncio.run(wrong()).reward == 1.0


class Here:
    """Validates the package's server as a process of this machine, in place of a container."""

    name = "process"
    capabilities = frozenset({ProviderCapability.IMAGE_BUILD})
    supported_network_modes = frozenset({"public"})

    def build(self, root, execution):
        self.root = root
        return "sha256:" + "0" * 64

    def start(self, spec):
        port = free_port()
        self.base_url = f"http://127.0.0.1:{port}"
        code = f"import uvicorn; from server.app import app; uvicorn.run(app, port={port}, log_level='error')"
        self.process = subprocess.Popen([sys.executable, "-c", code], cwd=self.root)
        assert eventually(self.answers, 120)
        return self

    def answers(self):
        assert self.process.poll() is None
        try:
            return httpx.get(f"{self.base_url}/health").status_code == 200
        except httpx.TransportError:
            return False

    def inspect(self):
        legacy = validate_running_environment(self.base_url, timeout_s=60)
        printed = io.StringIO()
        with pytest.MonkeyPatch.context() as patch, redirect_stdout(printed):
            patch.setattr(sys, "argv", ["oracle.py", self.base_url])
            runpy.run_path(str(self.root / "validation" / "oracle.py"))
        return {"running": legacy["passed"], "oracle": printed.getvalue().strip()}

    def stop(self):
        self.inspected = self.inspect()
        self.process.terminate()
        self.process.wait(timeout=20)


def test_the_package_passes_openenv_validate(tmp_path, capsys):
    folder = tmp_path / "package"
    options = '{"validation_size": 16, "test_size": 4}'
    arguments = ["serve", "W4S-GSMSymbolic-v0", "--executor", "sim:gpt-3.5-turbo", "--env-options", options]
    with pytest.raises(SystemExit) as ended:
        cli.main([*arguments, "--package", str(folder)])
    assert ended.value.code == 0, capsys.readouterr()
    here = Here()
    report = run_validation(folder, provider=here)
    status = {result.check_id: (result.status, result.evidence) for result in report.results}
    for check in ("static.manifest", "runtime.startup", "runtime.reward_well_formed", "runtime.observation_schema"):
        assert status[check][0] is CheckStatus.PASS, status
    assert status["runtime.state_contract"][0] is CheckStatus.PASS, status
    assert report.verdict is not Verdict.FAIL, status
    assert here.inspected == {"running": True, "oracle": "1.0"}
    done = CliRunner().invoke(openenv_command, ["validate", str(folder), "--level", "static"])
    assert done.exit_code == 0 and "Verdict: PASS" in done.output, done.output


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["W4S-GSMSymbolc-v0"], "did you mean 'W4S-GSMSymbolic-v0'"),
        (["W4S-GSMSymbolic-v0", "--executor", "sim:gpt-9"], "sim:"),
        (["W4S-GSMSymbolic-v0", "--port", "0"], "--port from 1"),
        (["W4S-GSMSymbolic-v0", "--env-options", '{"max_turn": 1}'], "did you mean 'max_turns'"),
    ],
)
def test_the_command_refuses_bad_input_in_a_sentence(arguments, message, capsys):
    with pytest.raises(SystemExit) as ended:
        cli.main(["serve", *arguments])
    assert ended.value.code == 2
    told = capsys.readouterr()
    assert message in told.out + told.err
