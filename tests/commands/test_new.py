import json
import subprocess
import sys

import pytest

from w4s_gym.testing import check_benchmark


def lines(*rows):
    return "".join(json.dumps(row) + "\n" for row in rows)


def test_the_file_is_a_benchmark_that_conforms(call, questions):
    code, out, _ = call("new", questions, "--name", "NewConforms")
    path = questions.with_suffix(".py")
    assert code == 0 and f"--env {path}:BENCHMARK" in out
    check_benchmark(f"{path}:BENCHMARK", sample=4)
    text = path.read_text()
    assert "13 validation and 27 test items" in text and "SHA-256" in text
    compiled = subprocess.run([sys.executable, "-W", "error", str(path)], capture_output=True, text=True)
    assert compiled.returncode == 0, compiled.stderr


@pytest.mark.parametrize(
    ("answers", "scorer"),
    [
        ([str(i) for i in range(9)], "score_number"),
        ([1.5] * 9, "score_number"),
        (list("ABCDABCDA"), "score_choice"),
        (["Paris", "the Nile", *"ABCDABC"], "exact_match_hotpotqa"),
    ],
)
def test_the_scorer_follows_from_the_answers(call, tmp_path, answers, scorer):
    data = tmp_path / "kinds.jsonl"
    data.write_text(lines(*({"q": f"Question {i}?", "a": answer} for i, answer in enumerate(answers))))
    code, _, err = call("new", data, "--question", "q", "--answer", "a")
    assert code == 0, err
    assert f"pure_grader({scorer})" in data.with_suffix(".py").read_text()


def test_texts_that_look_like_code_stay_texts(call, tmp_path):
    data = tmp_path / "odd.jsonl"
    rows = [{"the 'q\"": f'Say """{i}""" {{x}} \\n?', "a": f'it\'s "{i}"'} for i in range(9)]
    data.write_text(lines(*rows))
    code, _, err = call("new", data, "--question", "the 'q\"", "--answer", "a", "--description", 'Odd """ {texts} \\')
    assert code == 0, err
    done = subprocess.run(
        [sys.executable, "-c", f"import runpy; print(len(runpy.run_path({str(data.with_suffix('.py'))!r})['load']()))"],
        capture_output=True,
        text=True,
    )
    assert done.stdout == "9\n", done.stderr


GOOD = {"question": "What?", "answer": "1"}


@pytest.mark.parametrize(
    ("text", "arguments", "message"),
    [
        (None, (), "there is no file"),
        ("", (), "empty"),
        ("{\n", (), "row 1"),
        ("[1]\n", (), "JSON object"),
        (lines({"query": "What?", "answer": "1"}), (), "known fields of every line: answer, query"),
        (lines({"questions": "What?", "answer": "1"}), (), "did you mean 'questions'"),
        (lines(GOOD, {"question": 3, "answer": "1"}), (), "row 2: expected 'question' to be a text; got 3"),
        (lines(GOOD, {"question": "Why?", "answer": None}), (), "row 2: expected 'answer'"),
        (lines(GOOD, {"question": "Why?", "answer": " "}), (), "row 2: expected 'answer'"),
        (lines(*[GOOD] * 20), (), "at least 8 different questions; got 1"),
        (lines(*({"question": f"{i}?", "answer": "x"} for i in range(9))), ("--kind", "number"), "row 1"),
        (lines(*({"question": f"{i}?", "answer": "1"} for i in range(9))), ("--name", "MGSM"), "--name"),
        (lines(*({"question": f"{i}?", "answer": "1"} for i in range(9))), ("--name", "a b"), "--name"),
    ],
)
def test_bad_data_is_refused_and_nothing_is_written(call, tmp_path, text, arguments, message):
    data = tmp_path / "bad.jsonl"
    if text is not None:
        data.write_text(text)
    code, _, err = call("new", data, *arguments)
    assert code == 2 and message in err
    assert not data.with_suffix(".py").exists()


def test_a_file_that_is_there_is_never_overwritten(call, questions):
    questions.with_suffix(".py").write_text("mine")
    code, _, err = call("new", questions)
    assert code == 2 and "not there yet" in err
    assert questions.with_suffix(".py").read_text() == "mine"
