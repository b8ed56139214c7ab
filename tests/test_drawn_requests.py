"""Drawn requests: another one for each candidate."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from w4s_gym.action import parse_action
from w4s_gym.benchmark import benchmark_names
from w4s_gym.drawn_requests import all_requests, draw_requests, with_request

REQUESTS = all_requests(is_code=False)


@given(st.integers(0, 40), st.integers(0, 40), st.text(max_size=9))
def test_more_candidates_get_the_same_requests_and_further_ones(few, more, seed):
    drawn = draw_requests(few + more, seed)
    assert len(drawn) == few + more and drawn[:few] == draw_requests(few, seed)


@given(st.text(max_size=9))
def test_no_request_comes_again_before_all_were_drawn(seed):
    drawn = draw_requests(2 * len(REQUESTS), seed)
    assert set(drawn[: len(REQUESTS)]) == set(drawn[len(REQUESTS) :]) == set(REQUESTS)


def test_seeds_give_different_orders():
    assert len({tuple(draw_requests(len(REQUESTS), str(seed))) for seed in range(20)}) > 10


def test_the_request_stands_at_the_end_so_that_prompts_share_their_beginning():
    messages = [{"role": "system", "content": "s"}, {"role": "user", "content": "u"}]
    first, second = (with_request(messages, request)[-1]["content"] for request in REQUESTS[:2])
    assert first == f"u\n{REQUESTS[0]}" and second == f"u\n{REQUESTS[1]}"
    assert messages[-1]["content"] == "u"


def test_requests_name_no_benchmark():
    assert not [name for name in benchmark_names() if any(name.lower() in r.lower() for r in REQUESTS)]


def test_requests_show_the_calls_of_the_kind_of_answer():
    numbers, programs = "\n".join(all_requests(False)), "\n".join(all_requests(True))
    assert "extract_answer_str(" in numbers and "test_on_public_test" not in numbers
    assert "test_on_public_test(" in programs and "extract_answer_str" not in programs
    assert not {"TAKE", "RUN"} & set(numbers.replace("(", " ").split() + programs.replace("(", " ").split())


@pytest.mark.parametrize("is_code", [False, True])
def test_every_sketch_is_a_workflow_that_runs(is_code):
    """The agent of the test answers every call; what counts is that names, keys and arguments fit together."""

    class Agent:
        def call_llm(self, messages, temperature=1.0, num_of_response=1, agent_role="", instructions=""):
            return ["no, 7"] * num_of_response

        def call_json_format_llm(self, messages, return_dict_keys, temperature=1.0, num_of_response=1):
            return [dict.fromkeys(return_dict_keys, "")] * num_of_response

        def extract_answer_str(self, text):
            return text[-1:]

        def extract_code_block(self, text, entry_point="solution"):
            return text

        def execute_code(self, code):
            return 7

        def test_on_public_test(self, task, solution, entry_point, test_loop=3):
            return {"solution": solution}

    sketches = [parse_action(request).workflow for request in all_requests(is_code)]
    assert sketches.count(None) == 1  # the request to word the question differently needs none
    for sketch in filter(None, sketches):
        names = {}
        exec(sketch, names)
        arguments = (Agent(), "task", "f") if is_code else (Agent(), "task")
        assert isinstance(names["solver"](*arguments)["answer"], str)
