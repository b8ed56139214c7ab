"""The tiny meta-agent's tokenizer and untrained model."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

VOCABULARY = 1536
CONTEXT = 4096
"""Tokens; rotary positions cost nothing, so an unusually long error message does not end a run."""
_PAD, _USER, _ASSISTANT, _END = "<|pad|>", "<|user|>", "<|assistant|>", "<|end|>"
_SPECIAL = (_PAD, _USER, _ASSISTANT, _END)
_CHAT_TEMPLATE = (
    "{% for message in messages %}"
    "{{ ('<|assistant|>' if message['role'] == 'assistant' else '<|user|>') + message['content'] + '<|end|>' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}"
)


def train_tokenizer(texts: Iterable[str]) -> PreTrainedTokenizerFast:
    """Train a byte-level BPE tokenizer with a chat template.

    Tokens may span words: text is only split at line starts, quoted strings and values of settings. A line that the
    grammar repeats becomes a few tokens, so workflows are short and each choice (role, samples) is one token.
    """
    tokenizer = _blank_tokenizer()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=list(_SPECIAL),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token=_PAD, eos_token=_END)
    fast.chat_template = _CHAT_TEMPLATE
    return fast


def tokenizer_recipe() -> list[object]:
    """Return everything that the trained tokenizer depends on but for its texts."""
    return [_blank_tokenizer().to_str(), VOCABULARY, _SPECIAL, _CHAT_TEMPLATE]


def _blank_tokenizer() -> Tokenizer:
    tokenizer = Tokenizer(models.BPE())
    setting = r"(?<==)\d+(?:\.\d+)?"
    rest = r'(?:(?!(?<==)\d)[^"\n])'
    pieces = Regex(rf'{setting}|"[^"\n]*"{rest}*|\n+{rest}*|{rest}+|"')
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(pieces, behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    return tokenizer


def model_config(vocabulary: int, eos: int, pad: int) -> LlamaConfig:
    """Architecture of about 1.6 million parameters.

    Args:
        vocabulary: number of tokens.
        eos: token that ends a turn.
        pad: token that fills up rows.
    """
    return LlamaConfig(
        vocab_size=vocabulary,
        hidden_size=192,
        intermediate_size=512,
        num_hidden_layers=3,
        num_attention_heads=3,  # heads of 64 are twice as fast as heads of 32 on a CPU
        num_key_value_heads=3,
        max_position_embeddings=CONTEXT,
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=eos,
        pad_token_id=pad,
    )


def make_model(tokenizer: Any, seed: int) -> LlamaForCausalLM:
    """Make an untrained model for a tokenizer."""
    config = model_config(len(tokenizer), tokenizer.eos_token_id, tokenizer.pad_token_id)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return LlamaForCausalLM(config)
