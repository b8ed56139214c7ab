import subprocess
import sys
from dataclasses import replace

import pytest
import torch

from w4s_gym.algos import make_policy
from w4s_gym.algos.policies.hf import HFConfig, HFPolicy
from w4s_gym.errors import ConfigError


def ask(text):
    return [{"role": "user", "content": text}]


@pytest.fixture(scope="module")
def policy(random_llm):
    return HFPolicy(random_llm, config=HFConfig(temperature=1.0, max_new_tokens=12))


def texts(samples):
    return [[s.text for s in group] for group in samples]


def test_each_conversation_gets_m_samples_with_their_token_counts(policy):
    samples = policy.sample([ask("a"), ask("a longer question")], 3, seed=1)
    assert [len(group) for group in samples] == [3, 3]
    for group, question in zip(samples, ("a", "a longer question"), strict=True):
        assert {s.prompt_tokens for s in group} == {len(policy.codec.prompt(ask(question)))}
        assert all(0 < s.completion_tokens <= 12 for s in group)


def test_samples_do_not_depend_on_what_is_sampled_beside_them(policy, random_llm):
    together = texts(policy.sample([ask("a"), ask("some other question " * 9), ask("b")], 3, seed=4))
    assert together[0] == texts(policy.sample([ask("a")], 3, seed=4))[0]
    assert together[0][:2] == texts(policy.sample([ask("a")], 2, seed=4))[0]
    narrow = HFPolicy(random_llm, config=HFConfig(temperature=1.0, max_new_tokens=12, rows_per_pass=2))
    assert texts(narrow.sample([ask("a"), ask("some other question " * 9), ask("b")], 3, seed=4)) == together


def test_seeds_and_repeated_conversations_give_other_samples(policy):
    first, again, other = (texts(policy.sample([ask("a")], 4, seed=seed)) for seed in (1, 1, 2))
    assert first == again != other
    twice = texts(policy.sample([ask("a"), ask("a")], 4, seed=1))
    assert twice[0] == first[0] != twice[1]


def test_samples_follow_the_distribution_of_the_model(random_llm):
    """Frequencies of the first token against the softmax at this temperature."""
    policy = HFPolicy(random_llm, config=HFConfig(temperature=0.5, max_new_tokens=1, rows_per_pass=512))
    with torch.no_grad():
        policy.model.lm_head.weight[:50] *= 12  # an untrained model is almost uniform
        logits = policy.model(torch.tensor([policy.codec.prompt(ask("a"))])).logits[0, -1]
    likely = (logits / 0.5).softmax(-1)
    counts: dict[str, int] = {}
    for sample in policy.sample([ask("a")], 1500, seed=0)[0]:
        counts[sample.text] = counts.get(sample.text, 0) + 1
    expected: dict[str, float] = {}
    for token, probability in enumerate(likely.tolist()):
        text = policy.tokenizer.decode([token], skip_special_tokens=True)
        expected[text] = expected.get(text, 0.0) + probability
    top = sorted(expected, key=expected.get)[-5:]
    assert sum(expected[text] for text in top) > 0.05
    for text in top:
        assert counts.get(text, 0) / 1500 == pytest.approx(expected[text], abs=4 * (expected[text] / 1500) ** 0.5)


def test_temperature_zero_takes_the_most_likely_token(random_llm):
    policy = HFPolicy(random_llm, config=HFConfig(temperature=0.0, max_new_tokens=5))
    samples = texts(policy.sample([ask("a")], 2, seed=0)) + texts(policy.sample([ask("a")], 2, seed=9))
    assert len({text for group in samples for text in group}) == 1


def test_a_sample_that_hits_the_token_limit_is_marked(random_llm):
    policy = HFPolicy(random_llm, config=HFConfig(temperature=1.0, max_new_tokens=3))
    assert all(s.truncated and s.completion_tokens == 3 for s in policy.sample([ask("a")], 3, seed=0)[0])
    with torch.no_grad():
        policy.model.model.norm.weight.zero_()  # all logits equal: the argmax of the noise decides
    ended = policy.sample([ask("a")], 1500, seed=0)[0]
    assert any(not s.truncated for s in ended)
    assert all(s.completion_tokens == 3 for s in ended if s.truncated)


def test_conversations_that_leave_no_room_are_refused(policy):
    with pytest.raises(ConfigError, match="context of 2048"):
        policy.sample([ask("word " * 4000)], 1, seed=0)


def test_weights_survive_saving(policy, random_llm, tmp_path):
    changed = HFPolicy(random_llm, config=policy.config)
    with torch.no_grad():
        for parameter in changed.model.parameters():
            parameter += 0.05
    changed.save(tmp_path)
    other = HFPolicy(random_llm, config=policy.config)
    other.load(tmp_path)
    assert texts(other.sample([ask("a")], 3, 0)) == texts(changed.sample([ask("a")], 3, 0))
    assert texts(HFPolicy(tmp_path, config=policy.config).sample([ask("a")], 3, 0)) == texts(
        changed.sample([ask("a")], 3, 0)
    )
    with pytest.raises(ConfigError, match="no file"):
        other.load(tmp_path / "nothing")


def test_a_model_without_a_chat_template_gets_a_plain_one(random_llm, tmp_path):
    import shutil

    folder = tmp_path / "base"
    shutil.copytree(random_llm, folder)
    for file in folder.glob("chat_template*"):
        file.unlink()
    with pytest.warns(UserWarning, match="chat template"):
        policy = HFPolicy(folder, config=HFConfig(max_new_tokens=2))
    assert policy.tokenizer.decode(policy.codec.prompt(ask("hello"))) == "user:\nhello\n\nassistant:\n"
    policy.sample([ask("hello")], 1, seed=0)


@pytest.mark.parametrize(
    ("spec", "options", "message"),
    [
        ("nothing", {}, "expected a policy"),
        ("hf:", {}, "expected a policy"),
        ("hf:/no/such/folder", {}, "could not load"),
        ("hf:x", {"temperatur": 1}, "temperatur"),
        ("hf:x", {"temperature": -1}, "temperature >= 0"),
        ("hf:x", {"sampler": "http://localhost:1/v1"}, "lora_rank"),
        ("hf:x", {"sampler": "http//localhost"}, "base URL"),
        ("hf:x", {"sampler": "llama.cpp"}, "GGUF file"),
        ("openai:gpt-4o-mini", {}, "OPENAI_API_KEY"),
    ],
)
def test_policies_that_cannot_be_made(spec, options, message, monkeypatch, tmp_path):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)
    monkeypatch.setenv("W4S_ENV_FILE", str(tmp_path / "none"))
    with pytest.raises(ConfigError, match=message):
        make_policy(spec, **options)


def test_the_package_of_policies_imports_no_large_library():
    code = "import sys, w4s_gym.algos; assert not {'torch', 'transformers', 'openai'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_adapters_know_their_base_whatever_its_folder_and_precision(random_llm, tmp_path):
    import shutil

    config = HFConfig(lora_rank=2, max_new_tokens=2)
    HFPolicy(random_llm, config=config).save(tmp_path / "saved")
    shutil.copytree(random_llm, tmp_path / "copy")
    HFPolicy(tmp_path / "copy", config=replace(config, dtype="bfloat16")).load(tmp_path / "saved")
    changed = HFPolicy(random_llm, config=HFConfig(max_new_tokens=2))
    with torch.no_grad():
        changed.model.model.layers[1].mlp.up_proj.weight += 0.1  # same shapes, other weights
    changed.save(tmp_path / "changed")
    with pytest.raises(ConfigError, match="adapters of another model"):
        HFPolicy(tmp_path / "changed", config=config).load(tmp_path / "saved")
    with pytest.raises(ConfigError, match="another model"):
        HFPolicy(random_llm, config=replace(config, lora_rank=3)).load(tmp_path / "saved")
