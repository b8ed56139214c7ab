"""RLAO, SFT and GRPO on recorded rows: what trains, with which weight, and that a resumed run ends the same."""

from dataclasses import replace
from queue import Queue

import pytest
import torch

from w4s_gym.algos import rlao
from w4s_gym.algos.base import Batch
from w4s_gym.algos.best_of_m import Untrained
from w4s_gym.algos.grpo import GRPO
from w4s_gym.algos.policies.hf import HFConfig, HFPolicy
from w4s_gym.algos.rlao import RLAO, RLAOConfig
from w4s_gym.algos.sft import SFT
from w4s_gym.algos.trajectory import Row
from w4s_gym.errors import ConfigError

CONTEXT = ({"role": "user", "content": "improve"},)
TRAINED = (RLAO, SFT, GRPO)


@pytest.fixture
def policy(random_llm):
    return HFPolicy(random_llm, config=HFConfig(temperature=1.0, max_new_tokens=8))


def row(action, reward, candidate=0, **changes):
    made = Row(
        CONTEXT, action, reward, reward, "design", "evaluated", False, "X", "r/0", 0, 0, candidate, True, "tiers"
    )
    return replace(made, new_best=reward == 1.0, **changes)


def batch(*rewards, episode=0):
    """One group; the action says which candidate it is."""
    texts = ("left left", "right right", "up up", "down down", "in in")
    return Batch([row(texts[i], r, i, episode=episode) for i, r in enumerate(rewards)], "", 0.0)


def weights(agent):
    return torch.cat([p.detach().flatten() for p in agent.model.parameters()])


def likelihood(agent, action):
    """Log-likelihood of an action in the context of the tests."""
    prompt, target = agent.codec.prompt(CONTEXT), agent.codec.target(action)
    agent.model.eval()
    with torch.no_grad():
        scores = agent.model(torch.tensor([prompt + target])).logits[0].log_softmax(-1)
    return sum(scores[len(prompt) + i - 1, token].item() for i, token in enumerate(target))


def make(kind, agent, **options):
    suited = {} if kind is Untrained else {"learning_rate": 5e-3}
    return kind.of_options(agent, {"candidates": 3, **suited, **options})


@pytest.mark.parametrize("kind", TRAINED)
def test_the_winner_becomes_more_likely_than_the_others(kind, policy):
    before = [likelihood(policy, a) for a in ("left left", "right right")]
    algorithm = make(kind, policy)
    figures = [algorithm.update(batch(1.0, 0.0, 0.0, episode=i)) for i in range(4)]
    gains = [likelihood(policy, a) - b for a, b in zip(("left left", "right right"), before, strict=True)]
    assert gains[0] > gains[1] and gains[0] > 0
    assert figures[0]["rows"] == (1 if kind is SFT else 3)


@pytest.mark.parametrize("kind", TRAINED)
def test_what_could_not_be_measured_never_trains(kind, policy):
    start = weights(policy)
    figures = make(kind, policy).update(batch(None, None, None))
    assert torch.equal(weights(policy), start)
    assert figures["rows_masked"] == 3


def test_a_masked_candidate_has_no_part_in_its_group(policy):
    """The others all earned 1, so there is nothing to learn; a missing reward taken for 0 would change the weights."""
    start = weights(policy)
    make(GRPO, policy).update(batch(1.0, 1.0, None))
    assert torch.equal(weights(policy), start)
    make(GRPO, policy).update(batch(1.0, 1.0, 0.0))
    assert not torch.equal(weights(policy), start)


def test_rlao_weighs_rows_by_exp_of_reward_over_tau(policy):
    agent = make(RLAO, policy, tau=0.4)
    rows = [row("a", r) for r in (1.0, 0.5, 0.0)]
    assert agent.weights(rows) == pytest.approx([12.1825, 3.4903, 1.0], abs=1e-4)
    assert make(RLAO, policy, tau=1.0).weights(rows[:1]) == pytest.approx([2.71828], abs=1e-4)
    with pytest.raises(ConfigError, match="tau"):
        make(RLAO, policy, tau=0.0)


def test_rlao_does_not_imitate_rows_that_all_earned_the_same(policy):
    start = weights(policy)
    agent = make(RLAO, policy)
    assert agent.update(batch(0.0, 0.0, None))["rows"] == 0
    assert torch.equal(weights(policy), start)
    assert agent.update(batch(0.0, 1.0, 0.0, episode=1))["rows"] == 5  # the earlier rows count from now on
    assert not torch.equal(weights(policy), start)


def test_rlao_waits_for_a_new_best(policy):
    """Texts that only beat the workflow of their state may be far worse than what is known."""
    start = weights(policy)
    agent = make(RLAO, policy)
    assert agent.update(batch(0.0, 0.5, 0.5))["rows"] == 0
    assert torch.equal(weights(policy), start)
    assert agent.update(batch(1.0, 0.5, episode=1))["rows"] == 5
    assert make(RLAO, policy).update(batch(-0.1, 0.5, 0.0))["rows"] == 0


@pytest.mark.parametrize("rewards", [(-0.1, -0.2, -1.0), (0.5, 0.0, 0.0)], ids=["no new best", "like tiers"])
@pytest.mark.parametrize("reward_kind", ["relative", "gain"])
def test_rlao_learns_from_graded_rewards(policy, reward_kind, rewards):
    """They say of every text how good it is, also where they look like tiers without a new best."""
    start = weights(policy)
    graded = [replace(r, reward_kind=reward_kind) for r in batch(*rewards).rows]
    assert make(RLAO, policy).update(Batch(graded, "", 0.0))["rows"] == 3
    assert not torch.equal(weights(policy), start)


def test_the_largest_relative_reward_has_a_finite_weight(policy):
    """1 of 1,000 items was solved before, now all are."""
    start = weights(policy)
    rows = [replace(r, reward_kind="relative") for r in batch(999.0, 999.0, -1.0).rows]
    figures = make(RLAO, policy, tau=0.1).update(Batch(rows, "", 0.0))
    assert figures["rows"] == 3
    assert torch.isfinite(weights(policy)).all()
    assert not torch.equal(weights(policy), start)


def test_sft_keeps_winning_actions_only(policy):
    agent = make(SFT, policy)
    assert agent.weights([row("a", r) for r in (1.0, 0.5, 0.0, -0.1)]) == [1.0, None, None, None]
    graded = [row("a", r, reward_kind="gain") for r in (0.2, 0.0, -0.1, None)]
    graded[0] = replace(graded[0], new_best=True)
    assert agent.weights(graded) == [1.0, None, None, None]


def test_grpo_leaves_repairs_and_incomplete_groups_out(policy):
    rows = [*batch(1.0, 0.0, 0.0).rows, row("fixed", 1.0, 0, kind="repair"), *batch(1.0, 0.0, episode=1).rows]
    assert make(GRPO, policy).update(Batch(rows, "", 0.0))["rows"] == 3


def test_grpo_counts_groups_without_a_gradient_and_rows_that_are_too_long(policy):
    same, different = batch(0.0, 0.0, 0.0), batch(1.0, 0.0, 0.0, episode=1)
    both = Batch([*same.rows, *different.rows], "", 0.0)
    assert make(GRPO, policy).update(both)["groups_with_spread"] == 0.5
    figures = make(GRPO, policy, max_tokens=3).update(both)
    assert (figures["rows"], figures["rows_too_long"]) == (0, 6)


@pytest.mark.parametrize("kind", TRAINED)
@pytest.mark.parametrize("reward", [0.0, 1.0])
def test_a_text_that_was_cut_off_before_its_first_token_is_left_out_and_counted(kind, policy, reward):
    rows = batch(1.0, 0.0, reward).rows
    rows[2] = replace(rows[2], action="", truncated=True)
    figures = make(kind, policy).update(Batch(rows, "", 0.0))
    winners = 1 if kind is SFT else 2
    assert figures["rows"] == winners and figures["rows_empty"] == (reward if kind is SFT else 1)
    assert torch.isfinite(weights(policy)).all()
    without = HFPolicy(policy.tokenizer.name_or_path, config=policy.config)
    if kind is not GRPO:
        make(kind, without).update(Batch(rows[:2], "", 0.0))
        assert torch.equal(weights(policy), weights(without))


@pytest.mark.parametrize("kind", TRAINED)
def test_nothing_but_empty_texts_teaches_nothing(kind, policy):
    start = weights(policy)
    rows = [replace(r, action="", truncated=True) for r in batch(1.0, 0.0, 0.5).rows]
    assert make(kind, policy).update(Batch(rows, "", 0.0))["rows"] == 0
    assert torch.equal(weights(policy), start)


def test_an_empty_text_has_no_part_in_its_group(policy):
    start = weights(policy)
    rows = batch(1.0, 1.0, 0.0).rows
    rows[2] = replace(rows[2], action="", truncated=True)
    assert make(GRPO, policy).update(Batch(rows, "", 0.0))["groups_with_spread"] == 0
    assert torch.equal(weights(policy), start)


def test_an_update_tells_the_hub_nothing_and_leaves_its_setting_as_it_was(policy, monkeypatch):
    from huggingface_hub import constants
    from huggingface_hub.utils import _telemetry, send_telemetry

    told = Queue()
    monkeypatch.setattr(_telemetry, "_TELEMETRY_QUEUE", told)
    monkeypatch.setattr(_telemetry, "_start_telemetry_thread", lambda: None)
    monkeypatch.setattr(constants, "is_offline_mode", lambda: False)
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_TELEMETRY", False)
    monkeypatch.delenv("CI", raising=False)
    make(GRPO, policy).update(batch(1.0, 0.0, 0.0))
    assert told.empty()
    send_telemetry("mine")
    assert told.get_nowait()["topic"] == "mine"


def test_grpo_needs_a_group(policy):
    with pytest.raises(ConfigError, match="2 candidates"):
        make(GRPO, policy, candidates=1)


def test_replay_adds_earlier_rows_that_could_be_measured(policy):
    agent = make(RLAO, policy, replay=4)
    batches = (batch(1.0, 0.0, None), batch(1.0, 0.0, 0.0, episode=1), batch(1.0, 0.0, 0.0, episode=2))
    assert [agent.update(b)["rows"] for b in batches] == [2, 3 + 2, 3 + 4]
    assert [make(RLAO, policy, replay=0).update(b)["rows"] for b in batches] == [2, 3, 3]


@pytest.mark.parametrize("kind", TRAINED)
def test_a_resumed_run_ends_with_the_same_weights(kind, random_llm, tmp_path):
    def fresh():
        agent = HFPolicy(random_llm, config=HFConfig(temperature=1.0, max_new_tokens=8))
        options = {} if kind is GRPO else {"replay": 2, "rows_per_step": 2}
        return agent, make(kind, agent, **options)

    agent, algorithm = fresh()
    algorithm.update(batch(1.0, 0.0, 0.5))
    algorithm.save(tmp_path)
    algorithm.update(batch(0.0, 1.0, 0.5, episode=1))

    other, resumed = fresh()
    resumed.load(tmp_path)
    resumed.update(batch(0.0, 1.0, 0.5, episode=1))
    assert torch.equal(weights(agent), weights(other))
    assert resumed.progress == algorithm.progress


def test_states_of_other_algorithms_and_policies_without_weights_are_refused(policy, scripted_policy, tmp_path):
    make(RLAO, policy).save(tmp_path)
    with pytest.raises(ConfigError, match="another algorithm"):
        make(SFT, policy).load(tmp_path)
    with pytest.raises(ConfigError, match="no file"):
        make(RLAO, policy).load(tmp_path / "nothing")
    for kind in TRAINED:
        with pytest.raises(ConfigError, match="scripted"):
            make(kind, scripted_policy(lambda chat, seed: ""))


def test_the_untrained_meta_agent_does_not_change(policy):
    start = weights(policy)
    assert make(Untrained, policy).update(batch(1.0, 0.0, 0.0)) == {}
    assert torch.equal(weights(policy), start)


def test_the_tiny_meta_agent_has_settings_of_its_own(policy):
    assert (RLAO.settings(policy), GRPO.settings(policy).learning_rate) == (RLAOConfig(), 1e-5)
    policy.tiny = True
    assert RLAO.settings(policy) == rlao.TINY and rlao.TINY.tau == 0.2
    assert SFT.settings(policy).epochs == rlao.TINY.epochs == 20
    assert GRPO.settings(policy).learning_rate == rlao.TINY.learning_rate / 2
    assert RLAO(policy).config == rlao.TINY and RLAO(policy, RLAOConfig()).config.epochs == 1


def test_the_number_of_epochs_is_the_number_of_passes(policy):
    assert make(RLAO, policy, epochs=3).update(batch(1.0, 0.0, 0.0))["steps"] == 3
    assert make(RLAO, policy, epochs=2).update(batch(1.0, 0.0, 0.0))["steps"] == 2


def test_unknown_options_are_refused(policy):
    with pytest.raises(ConfigError, match="did you mean 'learning_rate'"):
        make(RLAO, policy, learning_rat=0.1)
    with pytest.raises(ConfigError, match="sft: unknown 'tau'"):
        make(SFT, policy, tau=0.1)
