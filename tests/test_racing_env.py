"""The sequential stop inside the environment: fewer runs, the same rewards, a fully measured state."""

import pytest

from w4s_gym.errors import ConfigError, ExecutorUnavailable

SHARES = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]
RACING = {"look_every": 4}


@pytest.fixture
def make(toy_env):
    def make(racing=None, **options):
        env = toy_env(validation_size=28, racing=racing, max_turns=4, **options)
        env.reset(seed=0)
        return env

    return make


def test_losers_run_fewer_items_and_all_rewards_are_those_of_full_runs(make, scripted, right_in):
    actions = [right_in(share) for share in SHARES]
    full = make().evaluate_candidates(actions)
    before = len(scripted.requests)
    env = make(RACING)
    raced = env.evaluate_candidates(actions)
    assert [c.reward for c in raced] == [c.reward for c in full]
    assert env.saving.stopped == sum(c.evaluation.estimate is not None for c in raced) >= 3
    assert env.saving.run == sum(len(c.evaluation.items) for c in raced) < env.saving.planned == 280
    assert len(scripted.requests) - before < 280 + 28
    for candidate, whole in zip(raced, full, strict=True):
        if candidate.reward:
            assert candidate.evaluation.items == whole.evaluation.items
        assert candidate.accuracy == pytest.approx(whole.accuracy, abs=0.3)


def test_a_candidate_that_advances_is_measured_on_all_items(make, right_in):
    env, plain = make(RACING), make()
    candidates, chosen, (_, reward, *_) = env.step_best_of([right_in(0), right_in(1)])
    plain.step_best_of([right_in(0), right_in(1)])
    assert chosen == 1
    assert candidates[0].evaluation.estimate is not None
    assert candidates[1].evaluation.estimate is None
    assert len(candidates[1].evaluation.items) == 28
    assert env.state == plain.state
    assert reward == 0.0
    assert candidates[1].usage.calls == 28


def test_a_step_gives_what_it_gives_without_racing(make, right_in):
    env, plain = make(RACING), make()
    for share in (2, 7, 1, 9):
        raced, full = env.step(right_in(share)), plain.step(right_in(share))
        assert raced[:4] == full[:4]


def test_items_that_ran_are_not_run_again(make, scripted, right_in):
    env = make(RACING)
    env.evaluate_candidates([right_in(0)])
    count = len(scripted.requests)
    again = env.evaluate_candidates([right_in(0)])[0]
    assert len(scripted.requests) == count
    assert again.reward == 0.0
    full = env.evaluate_workflow(again.workflow)
    assert full.estimate is None
    assert len(full.items) == 28


def test_an_executor_that_fails_while_a_candidate_is_completed_truncates_the_episode(make, scripted, right_in):
    env = make(RACING)
    candidate = env.evaluate_candidates([right_in(0)])[0]

    def fail(request):
        raise ExecutorUnavailable("down")

    scripted.fail = fail
    _, reward, terminated, truncated, info = env.advance(candidate)
    assert (reward, terminated, truncated) == (0.0, False, True)
    assert info["evaluation"]["status"] == "infrastructure"


def test_a_candidate_that_was_given_up_earns_the_relative_reward_of_its_predicted_accuracy(make, right_in):
    env = make(RACING, reward={"kind": "relative"})
    best = env.state.best
    stopped = [c for c in env.evaluate_candidates([right_in(s) for s in SHARES]) if c.evaluation.estimate is not None]
    assert len(stopped) >= 3
    for candidate in stopped:
        assert candidate.reward == (candidate.evaluation.estimate - best) / best < 0


def test_unknown_fields_are_told(toy_env):
    with pytest.raises(ConfigError, match="look_every"):
        toy_env(racing={"looks": 3})


@pytest.mark.parametrize("look_every", [1, 2, 3, 4, 5, 16])
def test_looks_are_where_they_are_without_a_self_test(make, right_in, look_every):
    racing = {"look_every": look_every, "limit": 0.1}
    actions = [right_in(share) for share in (0, 2, 6)]
    tested, untested = (make(racing, self_test=test).evaluate_candidates(actions) for test in (True, False))
    for a, b in zip(tested, untested, strict=True):
        assert (a.evaluation.items, a.evaluation.estimate) == (b.evaluation.items, b.evaluation.estimate)
    assert tested[0].evaluation.estimate is not None
