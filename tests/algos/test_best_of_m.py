import gymnasium as gym
import pytest

import w4s_gym  # noqa: F401
from w4s_gym.action import format_action
from w4s_gym.algos.best_of_m import roll_out
from w4s_gym.algos.policies.base import write_candidates
from w4s_gym.ledger import Caps

GOOD = (
    'def solver(agent, task):\n    return {"answer": agent.call_llm(messages=[{"role": "user", "content": task}])[0]}'
)
BROKEN = "def solver(agent, task):\n    return {'answer': missing}"


@pytest.fixture
def env(request):
    made = gym.make(
        "W4S-GSMSymbolic-v0", max_turns=2, validation_size=3, test_size=2, prompt_style="compact",
        reward=getattr(request, "param", None), disable_env_checker=True,
    ).unwrapped  # fmt: skip
    yield made
    made.close()


def play(env, policy, m=3, seed=5):
    return roll_out(env, policy, m=m, seed=seed, run="test/5", episode=4)


def constant(number):
    return f'def solver(agent, task):\n    return {{"answer": "{number}"}}'


def test_every_candidate_of_every_turn_is_a_row(env, scripted_policy):
    batch = play(env, scripted_policy(lambda chat, seed: format_action("Idea", constant(seed % 100)), "compact"))
    assert [(r.turn, r.candidate) for r in batch.rows] == [(t, c) for t in range(2) for c in range(3)]
    assert {(r.kind, r.status, r.benchmark, r.run, r.episode, r.simulated, r.reward_kind) for r in batch.rows} == {
        ("design", "evaluated", "GSMSymbolic", "test/5", 4, True, "tiers")
    }
    assert [sum(r.chosen for r in batch.rows if r.turn == t) for t in range(2)] == [1, 1]
    assert batch.metrics["candidates"] == 6 and batch.metrics["runnable"] == 1.0
    assert batch.best_accuracy == max(
        [*(r.accuracy for r in batch.rows), env.state.history[0].accuracy, env.state.best]
    )


def test_the_second_turn_follows_the_chosen_candidate(env, scripted_policy):
    policy = scripted_policy(
        lambda chat, seed: format_action("Idea", GOOD if seed % 2 else constant(seed % 100)), "compact"
    )
    rows = play(env, policy).rows
    chosen = next(r for r in rows if r.chosen and r.turn == 0)
    assert chosen.accuracy == max(r.accuracy for r in rows if r.turn == 0)
    second = next(r for r in rows if r.turn == 1)
    assert [m["role"] for m in second.messages] == ["user", "assistant", "user"]
    assert second.messages[1]["content"] == chosen.action
    assert second.messages[:1] == chosen.messages


def test_repairs_are_rows_of_their_own_and_a_failed_attempt_earns_nothing(env, scripted_policy):
    def reply(chat, seed):
        return format_action("Idea", GOOD if "error" in chat[-1]["content"] else BROKEN)

    batch = play(env, scripted_policy(reply, "compact"), m=1)
    first, repair = [r for r in batch.rows if r.turn == 0]
    assert (first.kind, first.reward, first.accuracy, first.chosen) == ("design", 0.0, None, False)
    assert (repair.kind, repair.chosen) == ("repair", True) and repair.accuracy is not None
    assert repair.messages[-2]["content"] == first.action and "NameError" in repair.messages[-1]["content"]
    assert batch.metrics["runnable"] == 0.0


@pytest.mark.parametrize(
    "env, failure, kind", [({}, 0.0, "tiers"), ({"kind": "relative"}, -1.0, "relative")], indirect=["env"]
)
def test_an_attempt_that_fails_for_good_is_skipped_with_the_lowest_reward(env, failure, kind, scripted_policy):
    batch = play(env, scripted_policy(lambda chat, seed: "no code", "compact"), m=1)
    assert [r.reward for r in batch.rows] == [failure] * 8  # two turns of one attempt and three repairs
    assert {(r.status, r.reward_kind) for r in batch.rows} == {("skipped", kind)}


def test_what_cannot_be_measured_is_masked(env, scripted_policy):
    env.reset(seed=5)
    env.ledger.caps = Caps(calls=2 * env.ledger.usage.calls + 4)  # another reset, then hardly anything
    batch = play(env, scripted_policy(lambda chat, seed: format_action("", f"{GOOD}  # {seed}"), "compact"), m=2)
    masked = [r for r in batch.rows if r.reward is None]
    assert masked and all(r.status == "infrastructure" for r in masked)
    assert batch.metrics["masked"] == len(masked)


def test_the_same_seed_gives_the_same_rows(env, scripted_policy):
    policy = scripted_policy(lambda chat, seed: format_action("Idea", constant(seed % 100)), "compact")
    first, again, other = (play(env, policy, seed=seed).rows for seed in (5, 5, 6))
    assert first == again
    assert [r.action for r in first] != [r.action for r in other]


def test_candidates_are_written_for_requests_and_their_rows_go_without(env, scripted_policy):
    env = gym.make(
        "W4S-GSMSymbolic-v0", max_turns=1, validation_size=3, prompt_style="guided", requests=True, reject_copies=True
    ).unwrapped
    shown = []

    def reply(chat, seed):
        shown.append(chat[-1]["content"])
        return format_action("", env.state.workflow if len(shown) == 1 else constant(seed % 100))

    batch = play(env, scripted_policy(reply, "guided"), m=4)
    designs = [r.messages[-1]["content"] for r in batch.rows if r.kind == "design"]
    assert len(set(shown[:4])) == 4 and designs == shown[:1] * 4
    assert {r.messages[1]["content"] for r in batch.rows if r.kind == "repair"} == {shown[0]}
    assert batch.metrics["copies"] == 1.0  # the first text is a seed workflow again; its repair is not
    env.close()


@pytest.mark.parametrize("shared", [True, False])
def test_candidates_with_one_prompt_are_samples_of_it_others_have_one_text_each(scripted_policy, shared):
    policy = scripted_policy(lambda chat, seed: chat[0]["content"])
    states = [[[{"role": "user", "content": f"{s}{'' if shared else c}"}] for c in range(3)] for s in "ab"]
    written = [[sample.text for sample in samples] for samples in write_candidates(policy, states, 7)]
    assert written == [[chat[0]["content"] for chat in chats] for chats in states]
    assert (policy.calls, len(policy.chats)) == (1, 2 if shared else 6)
