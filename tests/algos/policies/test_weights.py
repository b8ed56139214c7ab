"""Weights are taken up whole or refused, whatever the family of the model."""

import json
import shutil
from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file, save_file

from w4s_gym.algos.codec import WeightedText
from w4s_gym.algos.policies.hf import HFConfig, HFPolicy
from w4s_gym.algos.rlao import RLAO
from w4s_gym.errors import ConfigError

ASK = ({"role": "user", "content": "hi"},)
LORA = HFConfig(lora_rank=4, max_new_tokens=4)
FULL = HFConfig(max_new_tokens=4)
SIZES = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
FAMILIES = {
    "gpt2": {"n_embd": 16, "n_layer": 2, "n_head": 2, "n_positions": 256},
    "gpt_neox": {**SIZES, "max_position_embeddings": 256},
    "opt": {**SIZES, "ffn_dim": 32, "word_embed_proj_dim": 16, "max_position_embeddings": 256},
    "phi": {**SIZES, "max_position_embeddings": 256},
    "mamba": {"hidden_size": 16, "num_hidden_layers": 2, "state_size": 4},
    "bloom": {"hidden_size": 16, "n_layer": 2, "n_head": 2},
    "mpt": {"d_model": 16, "n_layers": 2, "n_heads": 2, "max_seq_len": 256},
    "mixtral": {**SIZES, "num_key_value_heads": 2, "num_local_experts": 2, "max_position_embeddings": 256},
}


def tensors(agent):
    return agent.model.state_dict()


def same(one, other):
    return all(torch.equal(a, b) for a, b in zip(tensors(one).values(), tensors(other).values(), strict=True))


def logits(agent):
    with torch.no_grad():
        return agent.model(torch.tensor([agent.codec.prompt(ASK)])).logits


def change(agent):
    """Change what is trained, as training does."""
    with torch.no_grad():
        for number, parameter in enumerate(p for p in agent.model.parameters() if p.requires_grad):
            parameter += 0.02 * (1 + number % 3)


@pytest.mark.parametrize(("family", "config"), [*((family, FULL) for family in FAMILIES), ("mamba", LORA)])
def test_any_causal_model_is_sampled_trained_saved_and_loaded(family, config, random_llm, tmp_path):
    from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(random_llm)
    end = tokenizer.eos_token_id
    options = {"vocab_size": len(tokenizer), "eos_token_id": end, "bos_token_id": end, "pad_token_id": end}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        AutoModelForCausalLM.from_config(AutoConfig.for_model(family, **options, **FAMILIES[family])).save_pretrained(
            tmp_path
        )
    tokenizer.save_pretrained(tmp_path)
    agent, other = (HFPolicy(tmp_path, config=config) for _ in range(2))
    alone, _ = agent.sample([ASK, [{"role": "user", "content": "a longer question"}]], 2, seed=0)
    assert agent.sample([ASK], 2, seed=0) == [alone]
    algorithm = RLAO.of_options(agent, {"learning_rate": 1e-2})
    algorithm.fit([WeightedText(ASK, "left left", 2.0), WeightedText(ASK, "right up", 1.0)], seed=0)
    assert not same(agent, other)
    algorithm.save(tmp_path / "state")
    kept = next(p for p in other.model.parameters() if p.requires_grad)
    RLAO.of_options(other, {"learning_rate": 1e-2}).load(tmp_path / "state")
    assert same(agent, other) and any(kept is p for p in other.model.parameters())
    assert same(agent, HFPolicy(tmp_path / "state" / "policy", config=config))


@pytest.fixture(scope="module")
def trained(random_llm, tmp_path_factory):
    """A LoRA policy that was trained, and the folder it was saved to."""
    agent, folder = HFPolicy(random_llm, config=LORA), tmp_path_factory.mktemp("trained")
    change(agent)
    agent.save(folder)
    return agent, folder


def test_saved_adapters_are_taken_up_by_their_folder(trained, random_llm):
    agent, folder = trained
    opened, base = HFPolicy(folder, config=LORA), HFPolicy(random_llm, config=LORA)
    assert torch.equal(logits(opened), logits(agent)) and not torch.equal(logits(opened), logits(base))
    assert same(opened, agent)


def test_with_rank_0_saved_adapters_become_part_of_the_weights_that_are_trained(trained, tmp_path):
    agent, folder = trained
    opened = HFPolicy(folder, config=FULL)
    assert torch.allclose(logits(opened), logits(agent), atol=1e-4)
    assert all(parameter.requires_grad for parameter in opened.model.parameters())
    opened.save(tmp_path)
    assert same(HFPolicy(tmp_path, config=FULL), opened)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"lora_rank": 3}, "r=4 instead of 3"),
        ({"lora_alpha": 7}, "lora_alpha=16 instead of 7"),
        ({"lora_targets": ("q_proj",)}, "unknown"),
    ],
)
def test_adapters_of_other_settings_are_refused(changes, words, trained, random_llm):
    config = replace(LORA, **changes)
    with pytest.raises(ConfigError, match=words):
        HFPolicy(trained[1], config=config)
    agent = HFPolicy(random_llm, config=config)
    before = logits(agent)
    with pytest.raises(ConfigError, match=words):
        agent.load(trained[1])
    assert torch.equal(logits(agent), before)


def test_adapters_that_lack_layers_or_have_another_base_are_refused(trained, random_llm, tmp_path):
    for name in ("lacking", "other base", "no base"):
        shutil.copytree(trained[1], tmp_path / name)
    file = tmp_path / "lacking" / "adapter_model.safetensors"
    save_file({k: v for k, v in load_file(file).items() if "layers.1" not in k}, file)
    changed = HFPolicy(random_llm, config=FULL)
    change(changed)
    changed.save(tmp_path / "changed")
    for name, base in (("other base", str(tmp_path / "changed")), ("no base", str(tmp_path / "gone"))):
        settings = tmp_path / name / "adapter_config.json"
        settings.write_text(json.dumps({**json.loads(settings.read_text()), "base_model_name_or_path": base}))
    for config in (LORA, FULL):
        with pytest.raises(ConfigError, match="missing"):
            HFPolicy(tmp_path / "lacking", config=config)
        with pytest.raises(ConfigError, match="adapters of another model"):
            HFPolicy(tmp_path / "other base", config=config)
        with pytest.raises(ConfigError, match="gone"):
            HFPolicy(tmp_path / "no base", config=config)


def test_a_model_that_lacks_layers_is_refused(random_llm, tmp_path):
    shutil.copytree(random_llm, tmp_path / "model")
    file = tmp_path / "model" / "model.safetensors"
    save_file({k: v for k, v in load_file(file).items() if "layers.1.mlp" not in k}, file, {"format": "pt"})
    with pytest.raises(ConfigError, match=r"layers\.1\.mlp.*missing"):
        HFPolicy(tmp_path / "model", config=FULL)
    agent = HFPolicy(random_llm, config=FULL)
    before = logits(agent)
    with pytest.raises(ConfigError, match="missing"):
        agent.load(tmp_path / "model")
    assert torch.equal(logits(agent), before)
