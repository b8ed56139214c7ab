"""Replies of the form `code`: begun and ended by us, whoever samples."""

import pytest

from w4s_gym.action import parse_action
from w4s_gym.algos.policies.hf import HFConfig, HFPolicy
from w4s_gym.algos.policies.reply_form import STOP, completed, first_words

ASK = [{"role": "user", "content": "improve"}]
CODE = "):\n    return 1"


def test_what_stands_behind_the_closing_fence_is_no_part_of_the_reply():
    reply, complete = completed("code", f"{CODE}{STOP}\nThis works because ...\n```python\nprint()\n```")
    assert complete and reply == f"{first_words('code')}{CODE}{STOP}"
    assert parse_action(reply).workflow.strip() == "def solver(agent, task):\n    return 1"


def test_code_without_its_closing_fence_is_not_complete():
    reply, complete = completed("code", CODE)
    assert not complete and reply == f"{first_words('code')}{CODE}"


def test_free_replies_stay_as_they_are():
    assert completed("free", f"text{STOP}more") == (f"text{STOP}more", False)
    assert first_words("free") == ""


def test_transformers_goes_on_from_the_first_words_and_stops_at_the_fence(random_llm, monkeypatch):
    policy = HFPolicy(random_llm, config=HFConfig(temperature=1.0, max_new_tokens=12, reply_form="code"))
    (sample,) = policy.sample([ASK], 1, seed=3)[0]
    assert sample.text.startswith(first_words("code")) and sample.truncated
    begun = policy.codec.target(first_words("code"), truncated=True)
    assert sample.prompt_tokens == len(policy.codec.prompt(ASK)) + len(begun)
    fence = policy.codec.target(f"x{STOP}", truncated=True)
    written = iter(fence)

    def write(scores_of):
        """A model that writes the closing fence, token by token, and would go on."""

        def forward(*arguments, **options):
            out = scores_of(*arguments, **options)
            out.logits[:] = 0.0
            out.logits[:, -1, next(written, fence[0])] = 1e4
            return out

        return forward

    monkeypatch.setattr(policy.model, "forward", write(policy.model.forward))
    (sample,) = policy.sample([ASK], 1, seed=3)[0]
    assert sample.text == f"{first_words('code')}x{STOP}" and not sample.truncated
    assert sample.completion_tokens == len(fence)


@pytest.mark.parametrize("options", [{"min_p": -0.1}, {"min_p": 1.5}, {"reply_form": "prose"}])
def test_unusable_options_are_refused(random_llm, options):
    from w4s_gym.algos import make_policy
    from w4s_gym.errors import ConfigError

    with pytest.raises(ConfigError, match=next(iter(options))):
        make_policy(f"hf:{random_llm}", **options)


def test_min_p_leaves_out_unlikely_tokens(random_llm):
    """With min_p 1 only the likeliest token is left, whatever the temperature."""
    greedy = HFPolicy(random_llm, config=HFConfig(temperature=0.0, max_new_tokens=6)).sample([ASK], 1, seed=1)
    cut = HFPolicy(random_llm, config=HFConfig(temperature=1.0, min_p=1.0, max_new_tokens=6)).sample([ASK], 2, seed=2)
    assert {s.text for s in cut[0]} == {greedy[0][0].text}
