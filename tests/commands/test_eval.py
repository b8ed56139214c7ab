import json

import pytest

SMALL = ("--env-options", '{"validation_size": 6, "test_size": 9}')


def test_a_workflow_is_measured_on_validation_and_on_the_test(call, workflow):
    code, out, _ = call("eval", workflow, *SMALL)
    assert code == 0 and "6 validation items" in out and "(Wilson, 95%)" in out and "cost (simulated): 6 calls" in out
    _, out, _ = call("eval", workflow, "--test", "--json", *SMALL)
    report = json.loads(out)
    assert report["part"] == "test" and report["simulated"] is True
    assert report["measured"] == len(report["items"]) == 9
    assert report["score"] == pytest.approx(sum(item["score"] for item in report["items"]) / 9)
    assert report["interval"][0] <= report["score"] <= report["interval"][1]


def test_how_runs_fail_is_told(call, tmp_path):
    path = tmp_path / "bad.py"
    path.write_text("def solver(agent, task):\n    raise ValueError('no idea')\n")
    code, out, _ = call("eval", path, *SMALL)
    assert code == 0 and "6 error" in out and "6 x ValueError: no idea" in out


def test_an_executor_and_a_benchmark_of_the_users_are_taken(call, workflow, tmp_path, questions):
    call("new", questions)
    (tmp_path / "echo.py").write_text(
        "from w4s_gym.executors import ChatReply, Completion\nfrom w4s_gym.usage import Usage\n"
        "class Nine:\n    name, simulated = 'nine', False\n"
        "    async def complete(self, request):\n"
        "        return ChatReply((Completion('9'),) * request.n, Usage(calls=1))\n"
        "    async def close(self): pass\n"
    )
    _, out, _ = call(
        "eval", workflow, "--env", f"{tmp_path}/my_task.py:BENCHMARK", "--executor", f"{tmp_path}/echo.py:Nine"
    )
    assert "MyTask, 10 validation items, executor nine\n" in out and "simulated" not in out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--env", "W4S-GSMSymbolik-v0"), "did you mean 'W4S-GSMSymbolic-v0'"),
        (("--executor", "sim:gpt-5"), "gpt-3.5-turbo"),
        (("--executor", "telepathy"), "openai:<model>"),
        (("--env-options", '{"validation_sise": 3}'), "did you mean 'validation_size'"),
        (("--env-options", '{"validation_size": -3}'), "at least 1; got -3"),
        (("--env-options", '{"executor": "sim:gpt-4o-mini"}'), "--executor"),
        (("--env-options", "{"), "JSON"),
        (("--draw", "x"), "--draw"),
    ],
)
def test_bad_input_is_refused_in_a_sentence(call, workflow, arguments, message):
    code, out, err = call("eval", workflow, *arguments)
    assert code == 2 and out == "" and message in " ".join(err.split())


@pytest.mark.parametrize("text", [None, "x = 1\n", "def solver(agent, task:\n", b"\xff\xfe\x00"])
def test_a_file_that_is_no_workflow_is_refused_before_anything_is_paid(call, tmp_path, text):
    path = tmp_path / "odd.py"
    if text is not None:
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
    code, out, err = call("eval", path, *SMALL)
    assert code == 2 and out == "" and "defines solver" in err
