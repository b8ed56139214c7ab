"""The decisions of the simulated executor: item response theory, and bounded judgement of answers shown.

An attempt passes two latent stages. Each stage compares an ability (profile, structure of the request) plus a sample's
noise with a difficulty that belongs to the item and never changes:

    understood:  understand + gains - language loss + noise * e1 > reading difficulty
    derived:     ability(mode) + gains - loss by format + noise * e2 > deriving (or programming) difficulty

A failed first stage gives the item's misreading, a failed second stage a slip, mostly the same one. Because nearly all
variance lies between items, asking again is no fresh chance: votes converge to the item's own answer, right or wrong.
"""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass
from typing import Literal

from w4s_gym.executors.simulation.answers import MISREADINGS
from w4s_gym.executors.simulation.items import ItemModel
from w4s_gym.executors.simulation.noise import Stream
from w4s_gym.executors.simulation.reading import Reading, most_shown

Mode = Literal["direct", "prose", "steps", "code", "expression"]

ATTENTION = 12
"""Distinct values beyond which a list of answers is not weighed any more."""
_NO_QUESTION = -8.0
"""Understanding that is lost when nothing of the question is in the prompt."""
_COLDEST = 0.35
"""Noise at temperature 0, as a fraction of the noise at temperature 1."""
_TRUST = 1.2
"""Log-odds that a shown answer gains when the executor's own attempt agrees with it."""
_ONE_SOLUTION = 2
"""Times that a single solution names its answer: in the working and as the answer."""
_MISLED = -1.0
"""Log-odds of the right answer for a reader who misread the question: it looks wrong."""
_JUDGE_NOISE = 0.5
_TRANSLATED = 0.4
"""Share of the language's loss that a translation gives back; it is the executor's own translation."""
_INLINE = 0.6
"""Strength of a restatement or of principles written in the same reply, against those of an earlier call."""


@dataclass(frozen=True)
class Attempt:
    """Outcome of answering once."""

    answer: int
    """Index into the item's possible answers; 0 is right."""
    understood: bool


def noise_scale(model: ItemModel, temperature: float) -> float:
    """Return the standard deviation of a sample's ability: grows with the temperature."""
    return model.domain.noise * (_COLDEST + (1 - _COLDEST) * temperature)


def heat_loss(temperature: float) -> float:
    """Return the ability that sampling above temperature 1 costs."""
    return 0.8 * max(0.0, temperature - 1.0)


def attempt(model: ItemModel, reading: Reading, mode: Mode, temperature: float, stream: Stream) -> Attempt:
    """Answer the question once, without regard to answers shown."""
    domain = model.domain
    scale = noise_scale(model, temperature)
    e1, e2, wrong, which = stream.normal(), stream.normal(), stream.uniform(), stream.uniform()
    understanding = domain.understand - model.language_loss + _context_gain(model, reading, "restate")
    understanding -= heat_loss(temperature)
    repaired = domain.repair if reading.error and (mode in ("code", "expression") or model.item.kind == "code") else 0.0
    understanding += 0.5 * repaired
    if reading.coverage < 1 and "restate" not in reading.artefacts:
        understanding += _NO_QUESTION * (1 - reading.coverage)
    understood = understanding + scale * e1 > model.reading
    ability = {
        "direct": domain.direct,
        "prose": domain.prose,
        "steps": domain.steps,
        "code": domain.code,
        "expression": domain.expression,
    }[mode]
    ability += _context_gain(model, reading, "principle") - heat_loss(temperature)
    ability -= domain.json * bool(reading.keys)
    if reading.terse:
        ability -= domain.brief * (domain.prose - domain.direct)
    ability += domain.persona * ("expert" in reading.artefacts)
    ability += domain.shots * (reading.shots > 0)
    ability += repaired
    if len(reading.shown) > _ONE_SOLUTION and not _doubted(reading):
        ability += domain.discuss
    ability -= domain.distract * max(0, len(set(reading.shown)) - 1)
    if mode == "steps" and sum(slot in ("reason", "role") for slot in _before_answer(reading)) > 1:
        ability += domain.perspectives
    difficulty = model.programming if mode in ("code", "expression") else model.deriving
    derived = ability + scale * e2 > difficulty
    if understood and derived:
        return Attempt(0, True)
    return Attempt(wrong_answer(model, understood, wrong, which), understood)


def _doubted(reading: Reading) -> bool:
    """Whether the answers shown were called wrong, failed a test, or something different is asked for."""
    return reading.different or reading.error or reading.verdict == "faulty"


def wrong_answer(model: ItemModel, understood: bool, wrong: float, which: float) -> int:
    """Choose a wrong answer: with probability `focus` the stage's systematic one.

    Args:
        model: the item.
        understood: whether the derivation failed (slips) rather than the reading (misreadings).
        wrong: uniform variate that decides for the systematic answer.
        which: uniform variate that chooses among the others.
    """
    last = len(model.answers) - 1
    main = min(MISREADINGS + 1, last) if understood else 1
    if wrong < model.domain.focus or last == 1:
        return main
    others = [i for i in range(1, last + 1) if i != main]
    return others[int(which * len(others))]


def _context_gain(model: ItemModel, reading: Reading, kind: Literal["restate", "principle"]) -> float:
    """Gain from a restatement or principles: an earlier call's in full, the same reply's in part, never twice."""
    gain = model.domain.restate if kind == "restate" else model.domain.principle
    if kind == "restate":
        gain += _TRANSLATED * model.language_loss
    if kind in reading.artefacts:
        return gain
    return _INLINE * gain if kind in _before_answer(reading) else 0.0


def _before_answer(reading: Reading) -> tuple[str, ...]:
    for i, slot in enumerate(reading.slots):
        if slot in ("answer", "code", "expression", "select"):
            return reading.slots[:i]
    return reading.slots


def recognition(model: ItemModel) -> float:
    """Return the log-odds with which the right answer stands out on this item; negative where the wrong one does."""
    return model.domain.recognise - model.telling


def settle(model: ItemModel, reading: Reading, own: Attempt, temperature: float, stream: Stream) -> int:
    """Weigh the executor's own attempt against the answers shown, and return the index of the one it gives.

    A shown answer counts by its support, by agreement with the own attempt, by recognition (which belongs to the item,
    so that asking again does not help), and less after it was called wrong or when something different was asked for.
    A list of more than `ATTENTION` values is ignored.
    """
    support = Counter(reading.shown)
    if not support or len(support) + reading.others > ATTENTION:
        return own.answer
    domain = model.domain
    doubted = _doubted(reading)
    options = dict.fromkeys(support, 0.0)
    options.setdefault(own.answer, 0.0)
    if doubted and own.answer in support:
        options[_other_answer(model, options, stream)] = 0.0
    told = recognition(model) * reading.coverage if own.understood else _MISLED
    best, best_weight = own.answer, -math.inf
    heat = max(0.3, min(temperature, 1.5))
    for option in sorted(options):
        weight = options[option] + _TRUST * (option == own.answer) + told * (option == 0)
        if option in support:
            if doubted:
                weight -= domain.novelty if reading.different or reading.error else domain.waver
            else:
                weight += domain.conform * math.log1p(support[option])
                weight += domain.recent * (option == reading.shown[-1] and len(support) > 1)
                weight += domain.waver * (reading.verdict == "sound")
        weight += 0.5 * heat * -math.log(-math.log(stream.uniform()))
        if weight > best_weight:
            best, best_weight = option, weight
    return best


def _other_answer(model: ItemModel, taken: dict[int, float], stream: Stream) -> int:
    """Return a wrong answer that was not given yet, for an executor that must say something else than it believes."""
    free = [i for i in range(1, len(model.answers)) if i not in taken]
    return free[stream.index(len(free))] if free else next(iter(taken))


def judge(model: ItemModel, reading: Reading, stream: Stream) -> bool:
    """Judge the best supported answer shown.

    Returns:
        Whether it is called sound. The error of the judgement belongs to the item and the answer, so that judging again
        brings little news. A program that raised or failed a test is never sound.
    """
    if reading.error:
        return False
    if not reading.shown:
        return stream.uniform() < 0.7
    judged = most_shown(reading.shown)
    understood = attempt(model, reading, "steps", 0.0, stream).understood
    told = recognition(model) * reading.coverage if understood else _MISLED
    doubt = model.domain.strict - (told if judged == 0 else -0.6 * told) + _JUDGE_NOISE * stream.normal()
    return doubt <= 0
