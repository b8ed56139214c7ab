import pytest

from w4s_gym.algos.design import design_episodes

BROKEN = "```python\ndef solver(agent, task):\n    return nonsense\n```"


def design(env, policy, **options):
    return design_episodes(env, policy, **{"seed": 3, "episodes": 4, "turns": 2, "candidates": 1, **options})


def test_episodes_have_all_their_turns_and_candidates(toy_env, scripted_policy, right_in):
    episodes = design(toy_env(max_turns=3), scripted_policy(lambda chat, n: right_in(n % 10)), turns=3, candidates=2)
    assert len(episodes) == 4
    assert all(len(e.turns) == 3 and all(len(turn) == 2 for turn in e.turns) for e in episodes)
    assert len({e.turns[0][0].action for e in episodes}) > 1, "episodes are independent"


def test_validation_selects_among_the_policys_own_designs(toy_env, scripted_policy, right_in):
    """The seed workflow solves half of the items; a policy that only writes worse ones is not saved by it."""
    episodes = design(toy_env(), scripted_policy(lambda chat, n: right_in(1 if len(chat) == 2 else 2)))
    for episode in episodes:
        assert "right in 2" in episode.best().workflow
        assert "right in 1" in episode.best(1).workflow


def test_each_turn_sees_the_feedback_of_the_one_before(toy_env, scripted_policy, right_in):
    policy = scripted_policy(lambda chat, n: right_in(n % 10))
    design(toy_env(max_turns=2, window=2), policy, episodes=3)
    seconds = [chat for chat in policy.chats if len(chat) > 2]
    assert seconds
    assert all("Validation accuracy of that workflow" in chat[-1]["content"] for chat in seconds)


def test_all_episodes_are_sampled_in_one_batch(toy_env, scripted_policy, right_in):
    policy = scripted_policy(lambda chat, n: right_in(n % 10))
    design(toy_env(), policy, episodes=5)
    assert (policy.calls, len(policy.chats)) == (2, 10), "one call a turn, one conversation an episode"


def test_repairs_of_all_episodes_are_sampled_in_one_batch(toy_env, scripted_policy):
    policy = scripted_policy(lambda chat, n: BROKEN)
    design(toy_env(), policy, episodes=3, turns=1)
    assert (policy.calls, len(policy.chats)) == (4, 12), "the turn and three repairs"


def test_a_design_that_never_runs_leaves_nothing(toy_env, scripted_policy):
    for episode in design(toy_env(), scripted_policy(lambda chat, n: BROKEN)):
        assert episode.best() is None
        assert [turn[0].status for turn in episode.turns] == ["skipped", "skipped"]
        assert episode.turns[0][0].repairs == 3


def test_repairs_are_asked_of_the_policy(toy_env, scripted_policy, right_in):
    policy = scripted_policy(lambda chat, n: right_in(7) if "NameError" in chat[-1]["content"] else BROKEN)
    for episode in design(toy_env(), policy, turns=1):
        assert episode.best().repairs == 1


def test_an_episode_whose_executor_fails_is_shorter(toy_env, scripted, scripted_policy, right_in):
    from w4s_gym.errors import ExecutorUnavailable

    def fail(request):
        if any("right in" in m["content"] for m in request.messages):
            raise ExecutorUnavailable("down")

    scripted.fail = fail
    for episode in design(toy_env(), scripted_policy(lambda chat, n: right_in(7))):
        assert [turn[0].status for turn in episode.turns] == ["infrastructure"]
        assert episode.best() is None


def test_the_same_seed_gives_the_same_designs(toy_env, scripted_policy, right_in):
    def run(seed):
        episodes = design(toy_env(), scripted_policy(lambda chat, n: right_in(n % 10)), seed=seed)
        return [[c.action for turn in e.turns for c in turn] for e in episodes]

    assert run(1) == run(1)
    assert run(1) != run(2)


def test_usage_counts_every_candidate_as_if_fresh(toy_env, scripted_policy, right_in):
    episodes = design(toy_env(), scripted_policy(lambda chat, n: right_in(4)), turns=1)
    assert episodes[0].usage.calls == pytest.approx(16)


def test_episodes_in_the_same_state_get_different_requests(toy_env, scripted_policy, right_in):
    policy = scripted_policy(lambda chat, n: right_in(n % 10))
    episodes = design(toy_env(requests=True, prompt_style="guided"), policy, episodes=2, turns=1, candidates=2)
    seen = [chat[-1]["content"] for chat in policy.chats]
    assert (policy.calls, len(seen), len(set(seen))) == (1, 4, 3), "the first candidate of each is asked nothing more"
    measured = [c.attempts[0][0][-1]["content"] for e in episodes for turn in e.turns for c in turn]
    assert measured == seen
