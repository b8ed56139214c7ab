from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from w4s_gym.algos.policies.base import Sample
from w4s_gym.algos.seeding import derive_seed
from w4s_gym.messages import Message


class ScriptedPolicy:
    """Writes what `reply(messages, number)` returns; `number` is a pure function of seed, place and sample."""

    name = "scripted"

    def __init__(self, reply: Callable[[list[Message], int], str], prompt_style: str = "full") -> None:
        self.prompt_style = prompt_style
        self.calls = 0
        self.chats: list[list[Message]] = []
        self._reply = reply

    def sample(self, conversations: Sequence[Sequence[Message]], m: int, seed: int) -> list[list[Sample]]:
        self.calls += 1
        self.chats += [[dict(message) for message in chat] for chat in conversations]
        return [
            [Sample(self._reply(list(chat), derive_seed(seed, place, k))) for k in range(m)]
            for place, chat in enumerate(conversations)
        ]


@pytest.fixture
def scripted_policy():
    return ScriptedPolicy


@pytest.fixture(scope="session")
def random_llm(tmp_path_factory) -> Path:
    """Folder of a very small untrained Llama with the tiny meta-agent's kind of tokenizer."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    from w4s_gym.algos.policies.tiny.corpus import draw_rows
    from w4s_gym.algos.policies.tiny.model import train_tokenizer

    folder = tmp_path_factory.mktemp("random_llm")
    tokenizer = train_tokenizer(row.action for row in draw_rows(60, 0))
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=2,
        max_position_embeddings=2048,
        tie_word_embeddings=True,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        LlamaForCausalLM(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder
