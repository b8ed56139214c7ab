"""The form of what a policy writes: free, or code alone, begun and ended by us."""

from __future__ import annotations

from typing import Literal, get_args

from w4s_gym.errors import ConfigError

ReplyForm = Literal["free", "code"]
"""`free`: whatever the model writes. `code`: one Python block with the function `solver`. Its first words are set by us
and it ends with the closing fence: small models otherwise write prose only, pieces of a workflow, or never end."""

_OPENING = "```python\ndef solver(agent, task"  # it is for the model to go on with `):` or `, entry_point):`
STOP = "\n```"
"""What ends a reply of the form `code`."""


def check_form(form: str) -> None:
    """Refuse a form that is not known.

    Raises:
        ConfigError: the message names those that are.
    """
    if form not in get_args(ReplyForm):
        raise ConfigError(f"expected reply_form to be one of {', '.join(get_args(ReplyForm))}; got {form!r}")


def first_words(form: ReplyForm) -> str:
    """Return the words that a reply begins with."""
    return _OPENING if form == "code" else ""


def completed(form: ReplyForm, written: str) -> tuple[str, bool]:
    """Make the reply of what a model wrote after the first words.

    Returns:
        The reply, and whether the form ends it: then it is complete, whatever ended the writing.
    """
    if form == "free":
        return written, False
    code, fence, _ = written.partition(STOP)
    return f"{_OPENING}{code}{fence}", bool(fence)
