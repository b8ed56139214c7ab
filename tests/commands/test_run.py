def test_without_a_question_an_item_of_the_benchmark_is_answered(call, workflow):
    code, out, _ = call("run", workflow, "--env", "W4S-ChainSum-v0")
    assert code == 0 and "question: State the final answer" in out and "answer (simulated):" in out
    question = next(line for line in out.splitlines() if line.startswith("question: ")).removeprefix("question: ")
    code, again, _ = call("run", workflow, question, "--env", "W4S-ChainSum-v0")
    assert code == 0 and again.splitlines()[0] == out.splitlines()[2]


def test_an_answer_of_a_simulated_executor_of_the_users_says_so(call, workflow, tmp_path):
    for name, simulated in (("Made", True), ("Real", False)):
        (tmp_path / f"{name}.py").write_text(
            "from w4s_gym.executors import ChatReply, Completion\nfrom w4s_gym.usage import Usage\n"
            f"class {name}:\n    name, simulated = '{name}', {simulated}\n"
            "    async def complete(self, request):\n"
            "        return ChatReply((Completion('9'),) * request.n, Usage(calls=1))\n"
            "    async def close(self): pass\n"
        )
        code, out, _ = call("run", workflow, "Who?", "--executor", f"{tmp_path / name}.py:{name}")
        assert code == 0 and ("answer (simulated): 9" in out) == simulated


def test_a_simulated_executor_knows_no_other_questions(call, workflow):
    code, _, err = call("run", workflow, "Who are you?")
    assert code == 2 and "knows only the benchmark's own items" in err


def test_bad_input_is_refused(call, workflow, tmp_path):
    assert "there is no" not in call("run", workflow, "--env", "W4S-ChanSum-v0")[2]
    assert "did you mean 'W4S-ChainSum-v0'" in call("run", workflow, "--env", "W4S-ChanSum-v0")[2]
    assert "defines solver" in call("run", tmp_path / "nothing.py")[2]
    assert "got 'sim'" in call("run", workflow, "--executor", "sim")[2]
