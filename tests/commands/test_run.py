def test_without_a_question_an_item_of_the_benchmark_is_answered(call, workflow):
    code, out, _ = call("run", workflow, "--env", "W4S-ChainSum-v0")
    assert code == 0 and "question: State the final answer" in out and "answer (simulated):" in out
    question = next(line for line in out.splitlines() if line.startswith("question: ")).removeprefix("question: ")
    code, again, _ = call("run", workflow, question, "--env", "W4S-ChainSum-v0")
    assert code == 0 and again.splitlines()[0] == out.splitlines()[2]


def test_a_simulated_executor_knows_no_other_questions(call, workflow):
    code, _, err = call("run", workflow, "Who are you?")
    assert code == 2 and "knows only the benchmark's own items" in err


def test_bad_input_is_refused(call, workflow, tmp_path):
    assert "there is no" not in call("run", workflow, "--env", "W4S-ChanSum-v0")[2]
    assert "did you mean 'W4S-ChainSum-v0'" in call("run", workflow, "--env", "W4S-ChanSum-v0")[2]
    assert "defines solver" in call("run", tmp_path / "nothing.py")[2]
    assert "got 'sim'" in call("run", workflow, "--executor", "sim")[2]
