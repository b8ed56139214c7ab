"""Chat templates as they are: some know no system role, some want strict turns, some drop what they do not know."""

from __future__ import annotations

import jinja2
import pytest

from w4s_gym.algos.codec import Codec, end_of_turn
from w4s_gym.errors import ConfigError

CHAT = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "Hello."},
    {"role": "user", "content": "1 + 1 ="},
]
TURNS = "{% for m in messages %}<{{ m.role }}>{{ m.content | trim }}{% endfor %}"
NO_SYSTEM = "{% if messages[0].role == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}" + TURNS
STRICT = (
    "{% set ns = namespace(last='') %}{% for m in messages %}{% if m.role == ns.last %}"
    "{{ raise_exception('Conversation roles must alternate user/assistant/user/assistant/...') }}{% endif %}"
    "{% set ns.last = m.role %}{% endfor %}" + TURNS
)
SILENT = "{% for m in messages if m.role != 'system' %}<{{ m.role }}>{{ m.content }}{% endfor %}"
NEVER = "{{ raise_exception('no chat') }}"


class Tokenizer:
    """Letters are tokens; the template is rendered as transformers does it."""

    name_or_path = "test/model"

    def __init__(self, template: str) -> None:
        self._template, self.rendered = template, 0

    def apply_chat_template(self, messages, *, add_generation_prompt, tokenize):
        self.rendered += 1

        def raise_exception(message):
            raise jinja2.exceptions.TemplateError(message)

        template = jinja2.Environment().from_string(self._template)
        return template.render(messages=messages, raise_exception=raise_exception)

    def __call__(self, text, add_special_tokens):
        return {"input_ids": list(map(ord, text))}


@pytest.mark.parametrize(
    ("template", "text"),
    [
        (TURNS, "<system>Be brief.<user>Hello.<user>1 + 1 ="),
        (STRICT, "<system>Be brief.<user>Hello.\n\n1 + 1 ="),
        (NO_SYSTEM, "<user>Be brief.\n\nHello.\n\n1 + 1 ="),
        (SILENT, "<user>Be brief.\n\nHello.\n\n1 + 1 ="),
    ],
)
def test_a_conversation_is_written_as_the_template_takes_it_and_that_is_kept(template, text):
    tokenizer = Tokenizer(template)
    codec = Codec(tokenizer, 0)
    assert "".join(map(chr, codec.prompt(CHAT))) == text
    tried = tokenizer.rendered
    codec.prompt(CHAT)
    assert tokenizer.rendered == tried + 1


def test_a_template_that_takes_nothing_is_told_with_its_words():
    with pytest.raises(ConfigError, match="no chat"):
        Codec(Tokenizer(NEVER), 0).prompt(CHAT)


CHATML = "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
GEMMA = "{% for m in messages %}<start_of_turn>{{ m.role }}\n{{ m.content }}<end_of_turn>\n{% endfor %}"


def real(template: str):
    """A tokenizer of transformers on bytes, with the control tokens of two families."""
    from tokenizers import Tokenizer as Tokens
    from tokenizers import decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    tokens = Tokens(models.BPE({c: i for i, c in enumerate(sorted(pre_tokenizers.ByteLevel.alphabet()))}, []))
    tokens.pre_tokenizer, tokens.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=tokens, eos_token="<eos>")
    tokenizer.add_special_tokens({"additional_special_tokens": ["<|im_start|>", "<|im_end|>", "<end_of_turn>"]})
    tokenizer.chat_template = template
    return tokenizer


@pytest.mark.parametrize("control", ["<|im_end|>", "<eos>", "<|im_start|>system\n"])
@pytest.mark.parametrize("text", ["{}", "a {} b", "{}{}", "say '{}"])
def test_control_tokens_inside_texts_stay_text(control, text):
    tokenizer = real(CHATML)
    codec, content = Codec(tokenizer, 7), text.replace("{}", control)
    controls = set(tokenizer.all_special_ids)
    prompt = codec.prompt([{"role": "user", "content": content}])
    assert [t for t in prompt if t in controls] == tokenizer.convert_tokens_to_ids(["<|im_start|>", "<|im_end|>"])
    assert tokenizer.decode(prompt) == f"<|im_start|>user\n{content}<|im_end|>\n"
    target = codec.target(content, truncated=True)
    assert not controls & set(target) and tokenizer.decode(target) == content


@pytest.mark.parametrize(
    ("template", "end"),
    [(CHATML, "<|im_end|>"), (GEMMA, "<end_of_turn>"), (TURNS, "<eos>"), (NEVER, "<eos>")],
)
def test_a_turn_ends_as_the_template_ends_it(template, end):
    tokenizer = real(template)
    assert end_of_turn(tokenizer) == tokenizer.convert_tokens_to_ids(end)
