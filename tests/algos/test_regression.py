from dataclasses import replace

import pytest
import torch

from w4s_gym.algos.codec import WeightedText
from w4s_gym.algos.policies.hf import HFConfig, HFPolicy
from w4s_gym.algos.regression import grouped_batches
from w4s_gym.algos.rlao import RLAO, RLAOConfig
from w4s_gym.errors import ConfigError

EXACT = RLAOConfig(learning_rate=1e-2, bfloat16=False)


def text(question, action, weight=1.0, truncated=False):
    return WeightedText(({"role": "user", "content": question},), action, weight, truncated)


ROWS = [
    text("short", "a few words", 12.18),
    text("a much longer question that goes on and on, so that its row is padded differently", "ok", 3.49),
    text("two", "answer = Counter(answers).most_common(1)[0][0]\n" * 6, 1.0),
    text("cut", "this text was cut off at the token lim", 0.5, truncated=True),
    text("x", "y", 2.0),
]


def policy(folder, **options):
    return HFPolicy(folder, config=HFConfig(max_new_tokens=8, **options))


def trainer(folder, config=EXACT, **options):
    return RLAO(policy(folder, **options), config)


def reference_loss(agent, rows):
    """Row by row, without padding, batches, or this project's label handling."""
    losses = []
    for row in rows:
        prompt = agent.codec.prompt(row.messages)
        target = agent.codec.target(row.action, row.truncated)
        logits = agent.model(torch.tensor([prompt + target])).logits[0]
        likelihood = logits.log_softmax(-1)
        total = sum(likelihood[len(prompt) + i - 1, token] for i, token in enumerate(target))
        losses.append(-row.weight * total / len(target))
    return sum(losses) / len(losses)


def test_the_loss_is_the_mean_over_rows_of_weight_times_mean_token_cross_entropy(random_llm):
    agent = policy(random_llm)
    fitted = RLAO(agent, EXACT)
    loss = fitted.regression.loss([agent.codec.encode(row) for row in ROWS])
    assert loss.item() == pytest.approx(reference_loss(agent, ROWS).item(), abs=1e-5)


def test_gradients_equal_those_of_the_row_by_row_computation(random_llm):
    agent = policy(random_llm)
    fitted = RLAO(agent, EXACT)
    fitted.regression.loss([agent.codec.encode(row) for row in ROWS]).backward()
    batched = [p.grad.clone() for p in agent.model.parameters()]
    agent.model.zero_grad()
    reference_loss(agent, ROWS).backward()
    for ours, theirs in zip(batched, (p.grad for p in agent.model.parameters()), strict=True):
        assert torch.allclose(ours, theirs, atol=1e-5)


def test_a_row_of_weight_zero_changes_nothing(random_llm):
    fitted = trainer(random_llm)
    before = [p.detach().clone() for p in fitted.policy.model.parameters()]
    fitted.fit([replace(row, weight=0.0) for row in ROWS], 0)
    assert all(torch.equal(a, b) for a, b in zip(before, fitted.policy.model.parameters(), strict=True))


def test_only_target_tokens_are_trained_on(random_llm):
    """Whatever the target is, the likelihood of the prompt's own tokens has no part in the loss."""
    agent = policy(random_llm)
    fitted = RLAO(agent, EXACT)
    row = agent.codec.encode(ROWS[1])
    ids = torch.tensor([row.prompt + row.target])
    log_likelihood = agent.model(ids).logits[0].log_softmax(-1)
    own = [-log_likelihood[i - 1, ids[0, i]].item() for i in range(len(row.prompt), ids.shape[1])]
    assert fitted.regression.loss([row]).item() == pytest.approx(row.weight * sum(own) / len(own), abs=1e-5)


def test_a_truncated_row_has_no_end_token(random_llm):
    codec = policy(random_llm).codec
    assert codec.target("abc")[-1] == codec.end_token
    assert codec.target("abc", truncated=True) == codec.target("abc")[:-1]


@pytest.mark.parametrize("tokens_per_pass", [1, 64, 100_000])
def test_gradient_accumulation_does_not_change_the_result(random_llm, tokens_per_pass):
    """Compared are the gradients of one step: AdamW's first step would blow up rounding errors."""
    gradients, losses = [], []
    for tokens in (tokens_per_pass, 300):
        fitted = trainer(random_llm, replace(EXACT, tokens_per_pass=tokens))
        losses.append(fitted.fit(ROWS, 3)["loss"])
        gradients.append([p.grad for p in fitted.policy.model.parameters()])
    assert losses[0] == pytest.approx(losses[1], abs=1e-5)
    assert all(torch.allclose(a, b, atol=1e-6) for a, b in zip(*gradients, strict=True))


def test_rows_that_do_not_fit_are_counted_and_left_out(random_llm):
    agent = policy(random_llm)
    lengths = [agent.codec.encode(row).length for row in ROWS]
    limit = sorted(lengths)[-2]
    fitted = RLAO(agent, replace(EXACT, max_tokens=limit))
    figures = fitted.fit(ROWS, 0)
    assert (figures["rows"], figures["rows_too_long"]) == (len(ROWS) - 1, 1)
    assert figures["tokens"] == sum(lengths) - max(lengths)
    assert fitted.fit([ROWS[lengths.index(max(lengths))]], 0)["steps"] == 0


def test_weights_shift_the_model_towards_heavier_rows(random_llm):
    rows = [text("q", "left left left", 12.0), text("q", "right right right", 1.0)]
    fitted = trainer(random_llm, replace(EXACT, epochs=12))
    before = [fitted.regression.loss([fitted.policy.codec.encode(replace(row, weight=1.0))]).item() for row in rows]
    fitted.fit(rows, 0)
    after = [fitted.regression.loss([fitted.policy.codec.encode(replace(row, weight=1.0))]).item() for row in rows]
    assert before[0] - after[0] > before[1] - after[1] > 0


def test_the_scale_of_all_weights_does_not_matter(random_llm):
    """Clipping sees weights with mean 1: else it would shorten the steps of a batch with heavy rows, and only those."""
    fits = []
    for factor in (0.01, 1.0, 148.0):
        fitted = trainer(random_llm, replace(EXACT, rows_per_step=2, epochs=3))
        fitted.fit([replace(row, weight=factor * row.weight) for row in ROWS], 0)
        fits.append(torch.cat([p.detach().flatten() for p in fitted.policy.model.parameters()]))
    assert torch.allclose(fits[0], fits[1], atol=1e-4)
    assert torch.allclose(fits[2], fits[1], atol=1e-4)


def test_thinned_passes_take_each_row_as_often_as_its_weight_says(random_llm, monkeypatch):
    """Times taken x weight then is in proportion to the row's weight, up to chance; heavy rows are always taken."""
    rows = [text("q", word, weight) for word, weight in (("a", 10.0), ("b", 4.0), ("c", 1.0), ("d", 0.0), ("e", 1.0))]
    passes = 400
    fitted = trainer(random_llm, replace(EXACT, thin=True, rows_per_step=8, epochs=passes))
    ends = [fitted.policy.codec.encode(row).target for row in rows]
    taken = torch.zeros(len(rows))
    weight = torch.zeros(len(rows))

    def step(batch, learning_rate):
        heaviest = max(row.weight for row in batch)
        for row in batch:
            taken[ends.index(row.target)] += 1
            weight[ends.index(row.target)] += row.weight / heaviest
        return 0.0, 1

    monkeypatch.setattr(fitted.regression, "step", step)
    figures = fitted.fit(rows, 0)
    assert taken[:2].tolist() == [passes, passes] and taken[3] == 0
    assert figures["rows_passed"] == taken.sum() < 3 * passes
    assert torch.allclose(weight / passes, torch.tensor([1.0, 0.4, 0.1, 0.0, 0.1]), atol=0.03)


def test_the_same_seed_gives_the_same_weights_and_another_seed_others(random_llm):
    def fit(seed):
        fitted = trainer(random_llm, replace(EXACT, rows_per_step=2))
        fitted.fit(ROWS, seed)
        return torch.cat([p.detach().flatten() for p in fitted.policy.model.parameters()])

    assert torch.equal(fit(1), fit(1))
    assert not torch.equal(fit(1), fit(2))


def test_the_learning_rate_rises_over_the_first_steps_of_all_fits_and_goes_on_after_a_load(random_llm, tmp_path):
    def moved(fitted):
        before = torch.cat([p.detach().flatten().clone() for p in fitted.policy.model.parameters()])
        fitted.fit(ROWS, 0)
        return (torch.cat([p.detach().flatten() for p in fitted.policy.model.parameters()]) - before).abs().max().item()

    config = replace(EXACT, learning_rate=1e-3, warmup_steps=4, clip=0.0001)
    assert moved(trainer(random_llm, replace(config, warmup_steps=0))) == pytest.approx(1e-3, rel=0.05)
    fitted = trainer(random_llm, config)
    assert moved(fitted) == pytest.approx(0.25e-3, rel=0.05)  # AdamW's first step moves a weight by the rate
    assert 0.3e-3 < moved(fitted) < 0.7e-3
    fitted.regression.save(tmp_path / "optimizer.pt")
    resumed = trainer(random_llm, config)
    resumed.regression.load(tmp_path / "optimizer.pt")
    assert 0.5e-3 < moved(resumed) < 1e-3


def test_a_run_that_goes_on_from_a_checkpoint_ends_with_the_same_weights(random_llm, tmp_path):
    config = replace(EXACT, rows_per_step=2)
    agent = policy(random_llm)
    fitted = RLAO(agent, config)
    fitted.fit(ROWS, 1)
    agent.save(tmp_path / "policy")
    fitted.regression.save(tmp_path / "optimizer.pt")
    fitted.fit(ROWS, 2)

    other = policy(random_llm)
    resumed = RLAO(other, config)
    other.load(tmp_path / "policy")
    resumed.regression.load(tmp_path / "optimizer.pt")
    resumed.fit(ROWS, 2)
    assert all(torch.equal(a, b) for a, b in zip(agent.model.parameters(), other.model.parameters(), strict=True))


def test_lora_trains_the_adapters_only_and_resumes(random_llm, tmp_path):
    agent = policy(random_llm, lora_rank=2)
    fitted = RLAO(agent, EXACT)
    before = {name: p.detach().clone() for name, p in agent.model.named_parameters()}
    fitted.fit(ROWS, 0)
    changed = {n for n, p in agent.model.named_parameters() if not torch.equal(p, before[n])}
    assert changed and all("lora_" in name for name in changed)
    agent.save(tmp_path)
    other = policy(random_llm, lora_rank=2)
    other.load(tmp_path)
    row = agent.codec.encode(ROWS[2])
    assert torch.equal(fitted.regression.loss([row]), RLAO(other, EXACT).regression.loss([row]))


def test_batches_hold_every_row_once_and_rows_of_similar_length_together(random_llm):
    from random import Random

    codec = policy(random_llm).codec
    rows = [codec.encode(text("q" * (3 * i), "a" * i)) for i in range(1, 65)]
    batches = grouped_batches(rows, 8, Random(0))
    assert sorted(row.length for batch in batches for row in batch) == sorted(row.length for row in rows)
    padded = sum(len(batch) * max(row.length for row in batch) for batch in batches)
    assert padded < 1.15 * sum(row.length for row in rows)


def test_settings_that_cannot_be_used_are_refused(random_llm):
    with pytest.raises(ConfigError, match="rows_per_step"):
        trainer(random_llm, RLAOConfig(rows_per_step=0))
    agent = policy(random_llm)
    agent.model.requires_grad_(False)
    with pytest.raises(ConfigError, match="trainable"):
        RLAO(agent, EXACT)


def conversation(turns, action, weight):
    """A later turn of one design episode: it begins with the words of the earlier ones."""
    messages = [
        {"role": "user", "content": "Design a workflow.\n" + "The seeds are these, and they score so much.\n" * 3}
    ]
    for turn in range(turns):
        messages += [
            {"role": "assistant", "content": f"agent.call_llm(task, samples={turn})"},
            {"role": "user", "content": f"That scored 0.{turn}. Design a better one."},
        ]
    return WeightedText(tuple(messages), action, weight)


ALIKE = [
    *(conversation(turns, f"return vote({i})\n" * (1 + i), 0.5 + i) for turns in (0, 1, 2) for i in range(3)),
    *ROWS,  # (and some that share nothing, or just the first token)
]


@pytest.mark.parametrize("lora_rank", [0, 2])
@pytest.mark.parametrize("tokens_per_pass", [1, 200, 100_000])
def test_a_step_on_packed_rows_has_the_loss_and_gradients_of_one_row_at_a_time(random_llm, tokens_per_pass, lora_rank):
    config = replace(EXACT, tokens_per_pass=tokens_per_pass, clip=1e9)
    fitted = trainer(random_llm, config, lora_rank=lora_rank)
    if lora_rank:  # adapters begin at zero, where half of their gradients are zero, too
        for parameter in fitted.policy.model.parameters():
            parameter.data += 0.05 * parameter.requires_grad
    rows = [fitted.policy.codec.encode(row) for row in ALIKE]
    expected = reference_loss(fitted.policy, ALIKE)
    expected.backward()
    theirs = {n: p.grad.clone() for n, p in fitted.policy.model.named_parameters() if p.grad is not None}
    loss, computed = fitted.regression.step(rows, 0.0)
    assert loss == pytest.approx(expected.item(), abs=1e-5)
    for name, parameter in fitted.policy.model.named_parameters():
        if name in theirs:
            assert torch.allclose(parameter.grad, theirs[name], atol=1e-5), name
    if tokens_per_pass > 1:
        assert computed < sum(row.length for row in rows)


def test_packing_can_be_turned_off(random_llm):
    fitted = trainer(random_llm, replace(EXACT, packing=False))
    rows = [fitted.policy.codec.encode(row) for row in ALIKE]
    assert fitted.regression.step(rows, 0.0)[1] >= sum(row.length for row in rows)
