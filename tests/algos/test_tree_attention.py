import logging
from random import Random

import pytest
import torch
import transformers

from w4s_gym.algos.codec import EncodedRow
from w4s_gym.algos.tree_attention import TreeAttention

VOCABULARY = 40
SMALL = {"vocab_size": VOCABULARY, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4}
LLAMA = {**SMALL, "intermediate_size": 48, "num_key_value_heads": 2, "max_position_embeddings": 512}
MODELS = {
    "qwen2": {**LLAMA, "tie_word_embeddings": True},
    "llama": LLAMA,
    "gpt_neox": {**SMALL, "intermediate_size": 48, "max_position_embeddings": 512, "rotary_pct": 0.5},
    "gpt2": {"vocab_size": VOCABULARY, "n_embd": 32, "n_layer": 2, "n_head": 4, "resid_pdrop": 0.0, "attn_pdrop": 0.0,
             "embd_pdrop": 0.0},
}  # fmt: skip


def make(kind, attention="sdpa", **options):
    config = transformers.AutoConfig.for_model(kind, **{**MODELS.get(kind, {}), **options})
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = transformers.AutoModelForCausalLM.from_config(config, attn_implementation=attention)
        for parameter in model.parameters():
            parameter.data *= 3  # with their first weights, models hardly look at what came before
    return model.train()


def with_adapters(model):
    from peft import LoraConfig, get_peft_model

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        options = LoraConfig(r=2, target_modules="all-linear", task_type="CAUSAL_LM", init_lora_weights=False)
        wrapped = get_peft_model(model, options).train()
    for parameter in wrapped.parameters():
        if parameter.requires_grad:
            parameter.data *= 0.3
    return wrapped


def draw_rows(seed=0, prompts=(30, 44), targets=(5, 17, 1, 9), vocabulary=VOCABULARY):
    """Two states whose prompts share a beginning, with targets that begin alike; then a turn that follows on them."""
    random = Random(seed)

    def tokens(count):
        return tuple(random.randrange(vocabulary) for _ in range(count))

    start, rows = tokens(20), []
    for length in prompts:
        prompt = start + tokens(length - 20)
        opening = tokens(3)
        rows += [EncodedRow(prompt, opening + tokens(n), random.choice([0.1, 1.0, 12.0])) for n in targets]
    again = rows[-1].prompt + rows[-1].target + tokens(6)  # a later turn: the history is a prompt
    return [*rows, EncodedRow(again, tokens(8), 2.5), EncodedRow(again, tokens(8), 0.0)]


def reference(model, rows):
    """Row by row, without padding, masks or this project's code."""
    total = torch.zeros(())
    for row in rows:
        likelihood = model(torch.tensor([row.prompt + row.target])).logits[0].log_softmax(-1)
        start = len(row.prompt) - 1
        picked = [likelihood[start + i, token] for i, token in enumerate(row.target)]
        total = total - row.weight * sum(picked) / len(row.target)
    return total


def gradients(model, loss):
    model.zero_grad()
    loss.backward()
    return {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}


def assert_same(model, rows, limit=1000):
    packed = TreeAttention(model)
    assert packed.refusal == ""
    trees, alone = packed.share_out(rows, limit)
    assert trees
    loss = sum((packed.weighted_sum([tree]) for tree in trees), torch.zeros(()))
    together = packed.weighted_sum(trees)  # tries of several lengths in one pass
    rest = reference(model, alone)
    scale = sum(row.weight for row in rows)  # compared are means, as a step takes them
    expected = reference(model, rows) / scale
    assert ((loss + rest) / scale).item() == pytest.approx(expected.item(), abs=1e-5)
    assert ((together + rest) / scale).item() == pytest.approx(expected.item(), abs=1e-5)
    theirs = gradients(model, expected)
    ours = gradients(model, (together + reference(model, alone)) / scale)
    assert ours.keys() == theirs.keys()
    for name in theirs:
        assert torch.allclose(ours[name], theirs[name], atol=1e-5), name
    return trees


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
@pytest.mark.parametrize("kind", MODELS)
def test_loss_and_every_gradient_equal_those_of_the_rows_alone(kind, attention):
    assert_same(make(kind, attention), draw_rows())


@pytest.mark.parametrize("kind", ["qwen2", "llama", "gpt_neox"])
def test_gradients_of_adapters_equal_those_of_the_rows_alone(kind):
    assert_same(with_adapters(make(kind)), draw_rows())


def test_a_trie_that_is_cut_into_several_for_the_limit_gives_the_same():
    trees = assert_same(make("qwen2"), draw_rows(), limit=90)
    assert len(trees) > 1 and all(tree.length <= 90 for tree in trees)


def test_activation_checkpointing_gives_the_same():
    model = make("llama")
    model.gradient_checkpointing_enable()
    assert_same(model, draw_rows())


@pytest.mark.parametrize(
    "kind, options",
    [
        ("mamba", {"vocab_size": VOCABULARY, "hidden_size": 32, "num_hidden_layers": 2, "state_size": 4}),
        ("bloom", {"vocab_size": VOCABULARY, "hidden_size": 32, "n_layer": 2, "n_head": 4}),
        ("mistral", {**LLAMA, "sliding_window": 8}),
    ],
    ids=["recurrent", "positions in the attention", "window"],
)
def test_a_model_that_does_not_take_the_mask_is_found_out_and_its_rows_stay_alone(kind, options, caplog):
    with caplog.at_level(logging.WARNING):
        packed = TreeAttention(make(kind, "eager" if kind != "mistral" else "sdpa", **options))
        rows = draw_rows()
        assert packed.share_out(rows, 1000) == ([], rows)
        assert packed.share_out(rows, 1000) == ([], rows)
    assert packed.refusal
    assert [record.getMessage() for record in caplog.records if packed.refusal in record.getMessage()] == [
        f"rows are trained on one by one, as this model does not take packed rows ({packed.refusal})"
    ]


@pytest.mark.parametrize(
    "kind, options",
    [
        ("mistral", {**LLAMA, "sliding_window": 40}),
        ("gpt_neo", {"vocab_size": VOCABULARY, "hidden_size": 32, "num_layers": 2, "num_heads": 4, "window_size": 60,
                     "attention_types": [[["global", "local"], 1]], "max_position_embeddings": 512,
                     "resid_dropout": 0.0, "attention_dropout": 0.0, "embed_dropout": 0.0}),
    ],
    ids=["of positions", "of places in the input"],
)  # fmt: skip
def test_a_window_that_short_rows_do_not_show_is_found_out_before_longer_ones_are_trained_on(kind, options):
    packed = TreeAttention(make(kind, "sdpa" if kind == "mistral" else "eager", **options))
    assert packed.refusal == ""
    rows = draw_rows(prompts=(45, 60))
    assert packed.share_out(rows, 1000) == ([], rows)
    assert "log-probabilities" in packed.refusal


def test_a_model_that_fails_on_such_input_is_trained_row_by_row_with_its_own_error_as_the_reason(monkeypatch):
    model = make("llama")
    forward = model.forward

    def only_plain_masks(**inputs):
        if inputs.get("attention_mask") is not None and inputs["attention_mask"].ndim == 4:
            raise ValueError("this kernel takes no such mask")
        return forward(**inputs)

    monkeypatch.setattr(model, "forward", only_plain_masks)
    packed = TreeAttention(model)
    assert packed.refusal == "ValueError: this kernel takes no such mask"
    assert model.training


def test_the_trial_leaves_no_gradient_no_random_number_and_the_mode_of_the_model():
    model = make("qwen2")
    state = torch.get_rng_state()
    TreeAttention(model)
    assert model.training and all(p.grad is None for p in model.parameters())
    assert torch.equal(torch.get_rng_state(), state)


def test_weights_in_half_precision_are_accepted():
    assert TreeAttention(make("llama").to(torch.bfloat16)).refusal == ""
