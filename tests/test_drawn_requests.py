"""Drawn requests: another one for each candidate."""

from hypothesis import given
from hypothesis import strategies as st

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
    assert "extract_answer_str(" in numbers and "exec_test" not in numbers
    assert "exec_test(" in programs and "extract_answer_str" not in programs
    assert not {"TAKE", "RUN"} & set(numbers.replace("(", " ").split() + programs.replace("(", " ").split())


def test_the_shown_calls_are_python():
    for request in [*all_requests(False), *all_requests(True)]:
        compile(request.partition("for instance:\n")[2], "request", "exec")
