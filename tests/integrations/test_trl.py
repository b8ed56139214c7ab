"""trl's own GRPOTrainer on workflow design: what the environment says and pays reaches it."""

from __future__ import annotations

import asyncio
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace

import pytest

from w4s_gym.errors import ConfigError, ExecutorUnavailable
from w4s_gym.integrations.trl import earned_reward, environment_factory, rollout_func, seed_prompts
from w4s_gym.registration import register_environments

trl = pytest.importorskip("trl")
BROKEN = "Try.\n\n```python\ndef solver(agent, task):\n    return undefined_name\n```"
OPTIONS = {"validation_size": 6, "test_size": 4, "prompt_style": "compact", "max_repairs": 1}
FAILS = {"reward": {"floor": 0.3}}  # a text without a workflow earns -0.1: a figure that cannot come by itself
register_environments()  # the toy benchmark too


@pytest.fixture(scope="module")
def tokenizer(random_llm):
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(random_llm)


@pytest.fixture
def train(random_llm, tmp_path, monkeypatch):
    """Train the random model for two steps of two groups of two; returns the trainer."""
    monkeypatch.setenv("TRL_EXPERIMENTAL_SILENCE", "1")

    def run(tokenizer, **arguments):
        from datasets import Dataset
        from transformers import AutoModelForCausalLM

        model = AutoModelForCausalLM.from_pretrained(random_llm)
        before = [p.detach().clone() for p in model.parameters()]
        config = trl.GRPOConfig(
            output_dir=str(tmp_path), max_steps=2, per_device_train_batch_size=4, num_generations=2,
            max_completion_length=12, use_cpu=True, bf16=False, gradient_checkpointing=False, report_to="none",
            logging_steps=1, save_strategy="no", disable_tqdm=True, learning_rate=0.01, dataloader_pin_memory=False,
        )  # fmt: skip
        trainer = trl.GRPOTrainer(
            model=model, args=config, processing_class=tokenizer,
            train_dataset=Dataset.from_list(seed_prompts(4)), **arguments,
        )  # fmt: skip
        trainer.train()
        return trainer, any(not p.equal(old) for p, old in zip(trainer.model.parameters(), before, strict=True))

    return run


def test_two_steps_with_text_actions(train, tokenizer, scripted, toy_env):
    seen = []

    def spread(prompts, completion_ids, earned, **_):
        """A second reward, so that groups are not flat and weights move."""
        seen.append((prompts, completion_ids, earned))
        return [float(i % 2) for i in range(len(prompts))]

    rollout = rollout_func("W4S-Toy-v0", executor=scripted, **OPTIONS, **FAILS)
    rolled = []

    def watched(prompts, trainer):
        rolled.append(rollout(prompts, trainer))
        return rolled[-1]

    trainer, moved = train(tokenizer, rollout_func=watched, reward_funcs=[earned_reward, spread])
    assert moved and trainer.state.global_step == 2
    logged = [entry for entry in trainer.state.log_history if "reward" in entry]
    assert [entry["rewards/earned_reward/mean"] for entry in logged] == pytest.approx([-0.1, -0.1])
    env = toy_env(**OPTIONS)
    for step, (prompts, completion_ids, earned) in zip(rolled, seen, strict=True):
        assert earned == [-0.1] * 4 and completion_ids == step["completion_ids"]
        for prompt, tokens, mask in zip(prompts, step["prompt_ids"], step["env_mask"], strict=True):
            env.reset(seed=int(prompt[-1]["content"].split()[1]))
            text = tokenizer.decode(tokens)
            assert all(message["content"] in text for message in env.messages)
            assert sum(a != b for a, b in pairwise(mask)) == 2  # wrote, was asked, wrote


def test_a_rollout_holds_its_repair_and_is_paid_for_the_end(tokenizer, scripted, right_in, toy_env):
    """The model is played, so that every token is known."""
    replies = [[right_in(9), BROKEN, BROKEN, "no code"], [right_in(10), right_in(10), right_in(1)]]

    def generate(prompts, images, fields, count):
        texts = replies.pop(0)
        asked.append([tokenizer.decode(p) for p in prompts])
        tokens = [[*tokenizer(t, add_special_tokens=False)["input_ids"], tokenizer.eos_token_id] for t in texts]
        return tokens, [[-1.0] * len(ids) for ids in tokens]

    asked = []
    trainer = SimpleNamespace(processing_class=tokenizer, _generate_single_turn=generate)
    rollout = rollout_func("W4S-Toy-v0", executor=scripted, **OPTIONS)
    out = rollout([row["prompt"] for row in seed_prompts(1, first=5)] * 4, trainer)
    assert out["earned"] == [1.0, 1.0, 1.0, 0.0]
    env = toy_env(**OPTIONS)
    env.reset(seed=5)
    first = tokenizer.apply_chat_template(env.messages, add_generation_prompt=True, tokenize=False)
    assert asked[0] == [first] * 4
    env.step(BROKEN)
    assert len(asked[1]) == 3
    for again, text in zip(asked[1][:2], (BROKEN, BROKEN), strict=True):
        assert again.startswith(first + text) and env.messages[-1]["content"] in again.replace(tokenizer.eos_token, "")
    for tokens, mask, logprobs in zip(out["completion_ids"], out["env_mask"], out["logprobs"], strict=True):
        assert len(tokens) == len(mask) == len(logprobs)
        assert [own == 1 for own in mask] == [value == -1.0 for value in logprobs]
    written = [
        tokenizer.decode([t for t, own in zip(ids, mask, strict=True) if own], skip_special_tokens=True)
        for ids, mask in zip(out["completion_ids"], out["env_mask"], strict=True)
    ]
    assert written == [right_in(9), BROKEN + right_in(10), BROKEN + right_in(10), "no code" + right_in(1)]


def test_what_a_candidate_was_asked_beside_the_observation_is_not_trained_on(tokenizer, scripted, right_in):
    asked = []

    def generate(prompts, images, fields, count):
        asked.extend(prompts)
        tokens = [tokenizer(right_in(9), add_special_tokens=False)["input_ids"] for _ in prompts]
        return tokens, [[-1.0] * len(ids) for ids in tokens]

    trainer = SimpleNamespace(processing_class=tokenizer, _generate_single_turn=generate)
    rollout = rollout_func("W4S-Toy-v0", executor=scripted, requests=True, **OPTIONS)
    out = rollout([row["prompt"] for row in seed_prompts(1, first=5)] * 3, trainer)
    assert len(set(map(tuple, asked))) == 3
    assert out["prompt_ids"] == asked[:1] * 3
    assert out["logprobs"] is None, "they are those of another prompt"


def test_two_steps_with_a_tool(train, tokenizer, scripted, toy_env):
    from transformers import AutoTokenizer

    own = AutoTokenizer.from_pretrained(tokenizer.name_or_path)
    template = Path(trl.__file__).parent / "chat_templates" / "qwen3.jinja"
    own.chat_template = template.read_text()
    prompts_seen = []

    def watch(prompts, environments, **_):
        prompts_seen.extend(prompts)
        return [float(i % 2) for i in range(len(prompts))]

    factory = environment_factory("W4S-Toy-v0", executor=scripted, **OPTIONS, **FAILS)
    trainer, moved = train(own, environment_factory=factory, reward_funcs=[watch])
    assert moved
    logged = [entry for entry in trainer.state.log_history if "reward" in entry]
    assert [entry["rewards/WorkflowDesignTool/mean"] for entry in logged] == pytest.approx([-0.1, -0.1])
    env = toy_env(**OPTIONS)
    for prompt in prompts_seen:
        [seed] = {seed for seed in range(4) if prompt[-1]["content"].startswith(f"seed {seed}")}
        assert env.reset(seed=seed)[0] in prompt[-1]["content"]
    assert len(prompts_seen) == 8


def test_the_tool_measures_repairs_and_pays_the_best(scripted, right_in):
    make = environment_factory("W4S-Toy-v0", executor=scripted, max_turns=3, **OPTIONS)
    tool, other = make(), make()
    assert "task Toy" in tool.reset(seed=1, prompt="ignored") == other.reset(seed=1)
    assert tool.get_reward() == 0.0

    async def play():
        texts = []
        for code in ("def solver(agent, task):\n    return x", solver(6), solver(9), solver(1)):
            texts.append(await tool.submit_workflow("Try.", code))
        return [*texts, await tool.submit_workflow("Again.", solver(10))]

    def solver(share):
        return right_in(share).split("```python\n")[1].split("```")[0]

    texts = asyncio.run(play())
    assert "NameError" in texts[0] and texts[-1] == "The episode is over."
    assert tool.get_reward() == 1.0 and other.get_reward() == 0.0

    def fail(request):
        raise ExecutorUnavailable("down")

    scripted.fail = fail
    asyncio.run(other.submit_workflow("Try.", solver(7)))
    assert other.get_reward() is None  # trl leaves it out: it is no reward of 0


def test_prompts_of_another_kind_are_refused(scripted):
    with pytest.raises(ConfigError, match="seed_prompts"):
        rollout_func("W4S-Toy-v0", executor=scripted)([[{"role": "user", "content": "Hello"}]], None)
