"""Executor calls with a price: what is compared, what is rewarded, what the meta-agent is told."""

from __future__ import annotations

from dataclasses import replace

import pytest

import w4s_gym
from w4s_gym.errors import ConfigError
from w4s_gym.measure import digest
from w4s_gym.registration import register_environments
from w4s_gym.state import DesignState

register_environments()  # the toy benchmark too


def twice(action: str) -> str:
    """The same workflow at twice the price: it asks a second time and ignores the reply."""
    return action.replace("    return", '    agent.call_llm(messages=[{"role": "user", "content": task}])\n    return')


@pytest.fixture
def episode(toy_env, right_in):
    """Plays one episode; returns rewards, the states before and after, and the first and last observation."""

    def play(shares, **options):
        env = toy_env(max_turns=4, **options)
        first, _ = env.reset(seed=1)
        states, rewards, text = [env.state], [], first
        for share in shares:
            text, reward, *_ = env.step(right_in(share) if share < 100 else twice(right_in(share // 100)))
            rewards.append(reward)
            states.append(env.state)
        return rewards, states, first, text

    return play


def figures(state: DesignState) -> list[float]:
    return [round(number, 6) for number in (state.accuracy, state.cost, state.best, state.best_cost)]


def test_dearer_workflows_must_be_right_more_often(episode):
    # A call costs 15 tokens, so 0.15; the second workflow asks twice.
    rewards, states, first, last = episode([8, 900, 8], reward={"token_price": 0.01})
    assert rewards == [1.0, 0.0, 0.5]
    right = [s.accuracy for s in states]
    assert right[2] > right[1] > right[0]  # the dear one is the most accurate
    assert figures(states[2]) == [right[2], 0.3, right[1], 0.15]
    assert states[2].best_workflow == states[1].workflow
    assert "less 10 for every 1,000 executor tokens an item" in first
    assert f"{right[3]:.3f} less 0.150 for its executor calls. It rose (before: {right[2] - 0.3:.3f}; " in last
    assert episode([8, 900, 8])[0] == [1.0, 1.0, 0.0]  # without a price


@pytest.mark.parametrize("style", ["compact", "guided"])
def test_every_style_tells_what_counts(episode, style):
    _, states, first, last = episode([8], reward={"token_price": 0.01}, prompt_style=style)
    value = states[1].value
    assert (f"{value:.3f} rose" if style == "compact" else "less 15.0% for its executor calls") in last
    assert ("10 for every 1,000 executor tokens an item" in first) == (style == "guided")


def test_racing_gives_nothing_up_that_could_still_earn_a_reward(episode):
    racing = {"look_every": 4, "limit": 0.05}
    options = {"reward": {"token_price": 0.01}, "validation_size": 16}
    assert episode([900, 9, 5, 800], **options)[0] == episode([900, 9, 5, 800], **options, racing=racing)[0]


def test_dollars_do_not_depend_on_what_was_asked_before(toy_env, right_in):
    env = toy_env(max_turns=4, reward={"kind": "gain", "dollar_price": 100.0})  # a call costs $0.001
    rewards = []
    for _ in range(2):  # the second time everything is known
        env.reset(seed=1)
        rewards.append(env.step(twice(right_in(9)))[1])
        assert env.state.cost == pytest.approx(0.2)
    assert rewards[0] == rewards[1]


def test_an_executor_without_a_price_is_refused_before_anything_is_rewarded(toy_env, scripted):
    answer = scripted.complete

    async def unpriced(request):
        reply = await answer(request)
        return replace(reply, usage=replace(reply.usage, dollars=None))

    scripted.complete = unpriced
    with pytest.raises(ConfigError, match="dollar_price needs an executor whose price is known"):
        toy_env(reward={"dollar_price": 1.0}).reset(seed=1)


def test_the_scorer_takes_the_price_off(scripted):
    source = twice("def solver(agent, task):\n    return {'answer': '1'}")
    with w4s_gym.make_scorer("W4S-Toy-v0", executor=scripted, reward={"token_price": 0.001}) as scorer:
        score, feedback = scorer(source)
    assert score == pytest.approx(-0.015)
    assert "Taken off for 1 for every 1,000 executor tokens an item: 0.015." in feedback


@pytest.mark.parametrize("algorithm", ["seed", "random_edits", "adas", "aflow"])
def test_searches_select_by_what_the_price_leaves(toy_env, algorithm):
    from w4s_gym.algos.seeding import derive_seed
    from w4s_gym.study.designers import Setup, find_designer

    class Policy:
        name, prompt_style = "grammar", "compact"

        def sample(self, conversations, m, seed):
            from random import Random

            from w4s_gym.algos.policies.base import Sample
            from w4s_gym.algos.policies.tiny.grammar import draw_proposal

            drawn = Random(derive_seed("price", seed))
            return [[Sample(draw_proposal(drawn).action) for _ in range(m)] for _ in conversations]

    env = toy_env(validation_size=8, reward={"token_price": 1.0})  # next to the tokens nothing else counts
    search = find_designer(algorithm).make(Setup(Policy(), 2, "x/0", 0))
    for number in range(2):
        batch = search.collect(env, seed=number)
    tokens = {key: e.tokens_per_item for key, e in env.measured}
    if algorithm == "adas":  # its archive starts from published designs instead of the benchmark's
        del tokens[digest(env.state.workflow)]
    assert tokens[digest(batch.best_workflow)] == min(tokens.values())
    assert batch.best_value == batch.best_accuracy - batch.best_cost < 0
