"""Options that widen exploration: drawn requests, copies sent back, workflows that must ask the executor."""

import pytest

from w4s_gym.drawn_requests import all_requests, with_request, without_requests
from w4s_gym.errors import ProtocolError

SILENT = 'Solve it.\n\n```python\ndef solver(agent, task):\n    return {"answer": "4"}\n```'


def copy_of(workflow):
    """An action with the same program, written down in another way."""
    reworded = workflow.replace("    reply", "    # ask the executor\n    reply", 1)
    assert reworded != workflow
    return f"Same again.\n\n```python\n{reworded}```"


def request_of(messages):
    return next(request for request in all_requests(False) if messages[-1]["content"].endswith(request))


def test_each_candidate_gets_a_request_of_its_own_and_its_attempt_says_which(toy_env, right_in):
    env = toy_env(requests=True, prompt_style="guided")
    env.reset(seed=1)
    chats = env.candidate_messages(4)
    assert len({request_of(chat) for chat in chats[1:]}) == 3
    assert [without_requests(chat) for chat in chats] == [env.messages] * 4
    assert env.messages == chats[0], "the first one is asked nothing beside the observation"
    candidates = env.evaluate_candidates([right_in(5 + i) for i in range(4)])
    assert [list(c.attempts[0][0]) for c in candidates] == chats
    env.advance(candidates[2])
    assert env.messages[: len(chats[2])] == chats[0], "the chat goes on without what the chosen candidate was asked"
    request_of(env.candidate_messages(2)[1])


def test_requests_depend_on_draw_and_turn_only(toy_env, right_in):
    def requests(seed, turns=0):
        env = toy_env(requests=True, max_turns=4)
        env.reset(seed=seed)
        for _ in range(turns):
            env.step(right_in(3))
        return [request_of(chat) for chat in env.candidate_messages(5)[1:]]

    assert requests(1) == requests(1) and requests(1, 1) == requests(1, 1)
    assert len({tuple(r) for r in (requests(1), requests(2), requests(1, 1), requests(1, 2))}) == 4


def test_every_request_is_taken_back_from_every_message():
    chat = [{"role": "system", "content": "a"}, {"role": "user", "content": "b"}]
    for request in (*all_requests(False), *all_requests(True)):
        asked = [*with_request(chat, request), {"role": "assistant", "content": f"Asked:\n{request}"}]
        assert asked[1] != chat[1]
        assert without_requests(asked) == [*chat, asked[2]], "what the policy wrote stays"
        assert without_requests([*asked, {"role": "user", "content": "repair"}])[1] == chat[1]


def test_candidates_keep_the_conversations_they_are_said_to_answer(toy_env, right_in):
    env = toy_env(requests=True)
    env.reset(seed=1)
    chats = env.candidate_messages(3)[1:]
    candidates = env.evaluate_candidates([right_in(5), right_in(6)], chats=chats)
    assert [list(c.attempts[0][0]) for c in candidates] == chats
    with pytest.raises(ProtocolError, match="each of the 2 actions; got 1"):
        env.evaluate_candidates([right_in(5), right_in(6)], chats=chats[:1])


def test_without_the_option_all_candidates_see_the_same_and_the_published_text(toy_env):
    env = toy_env()
    env.reset(seed=1)
    first, second = env.candidate_messages(2)
    assert first == second == env.messages and "instance:" not in first[-1]["content"]


def test_a_repair_request_has_no_drawn_request(toy_env):
    env = toy_env(requests=True, prompt_style="guided")
    env.reset(seed=1)
    env.step(SILENT)
    assert "NoCall" in env.messages[-1]["content"]
    assert not any(env.messages[-1]["content"].endswith(request) for request in all_requests(False))


@pytest.mark.parametrize(
    ("options", "sent_back"),
    [
        ({}, False),
        ({"prompt_style": "guided"}, True),
        ({"must_ask": True}, True),
        ({"prompt_style": "guided", "must_ask": False}, False),
    ],
)
def test_a_workflow_that_asks_nothing_is_sent_back_where_it_must_ask(toy_env, options, sent_back):
    env = toy_env(**options)
    env.reset(seed=1)
    candidate = env.evaluate_candidates([SILENT])[0]
    assert candidate.status == ("needs_repair" if sent_back else "evaluated")
    assert (candidate.error is not None and candidate.error.kind == "NoCall") == sent_back


def test_the_silent_workflow_is_not_measured_when_it_comes_again(toy_env, scripted):
    env = toy_env(must_ask=True, max_repairs=1)
    env.reset(seed=1)
    for expected in ("needs_repair", "skipped"):
        _, reward, _, _, info = env.step(SILENT)
        assert info["evaluation"]["status"] == expected and reward == 0.0


def test_copies_of_what_the_state_shows_cost_no_calls_and_can_be_repaired(toy_env, scripted, right_in):
    env = toy_env(reject_copies=True)
    env.reset(seed=1)
    asked = len(scripted.requests)
    copy = copy_of(env.state.workflow)
    candidate = env.evaluate_candidates([copy])[0]
    assert candidate.status == "needs_repair" and candidate.error.kind == "Copy" and candidate.copies == 1
    assert "'direct'" in candidate.error.message
    assert len(scripted.requests) == asked
    repaired = env.evaluate_candidates([copy], lambda chats: [right_in(9) for _ in chats])[0]
    assert (repaired.status, repaired.repairs, repaired.copies, repaired.reward) == ("evaluated", 1, 1, 1.0)


def test_copies_of_an_earlier_turn_are_recognised_too(toy_env, right_in):
    env = toy_env(reject_copies=True, max_turns=4)
    env.reset(seed=1)
    env.step(right_in(9))
    env.step(right_in(6))
    assert env.evaluate_candidates([right_in(9)])[0].error.kind == "Copy"


@pytest.mark.parametrize("kind", ["tiers", "relative", "gain"])
def test_a_copy_to_the_end_earns_what_no_change_earns(toy_env, kind):
    env = toy_env(reject_copies=True, max_repairs=2, reward={"kind": kind})
    env.reset(seed=1)
    candidate = env.evaluate_candidates(
        [copy_of(env.state.workflow)], lambda chats: [copy_of(env.state.workflow) for _ in chats]
    )[0]
    assert (candidate.status, candidate.copies, candidate.reward) == ("skipped", 3, 0.0)


def test_copies_are_measured_as_published_without_the_option(toy_env):
    env = toy_env()
    env.reset(seed=1)
    candidate = env.evaluate_candidates([copy_of(env.state.workflow)])[0]
    assert candidate.status == "evaluated" and candidate.copies == 0
