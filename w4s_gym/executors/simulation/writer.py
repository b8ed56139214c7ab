"""The text of a simulated reply."""

from __future__ import annotations

import json

from w4s_gym.executors.simulation.answers import as_number
from w4s_gym.executors.simulation.items import ItemModel
from w4s_gym.executors.simulation.noise import Stream
from w4s_gym.executors.simulation.profile import Faults
from w4s_gym.executors.simulation.reading import Reading
from w4s_gym.executors.simulation.respondent import Attempt, Mode, attempt, judge, settle
from w4s_gym.executors.simulation.slots import Slot

_PADDING = (
    "First take what is given and name what is asked for. Then put the given facts in order and see which of them the "
    "question needs. Carry the result of each step over to the next one, and keep the units in mind. Look at the "
    "conditions once more and make sure that none is left out. Put the intermediate results together. "
) * 6
_ROLES = ("careful analyst", "domain expert", "experienced teacher", "sceptical reviewer")


def write(model: ItemModel, reading: Reading, faults: Faults, temperature: float, stream: Stream) -> str:
    """Write one reply.

    Args:
        model: the item.
        reading: what the prompt asks for.
        faults: how often the reply is unusable.
        temperature: sampling temperature.
        stream: randomness of this sample.
    """
    fault, cut = stream.uniform(), stream.uniform()
    heat = 1 + 4 * max(0.0, temperature - 1.0)
    if fault < faults.empty * heat:
        return ""
    composer = _Composer(model, reading, faults.bug * heat, temperature, stream)
    if not reading.keys:
        return composer.plain(reading.slots[0])
    texts = {key: composer.slot(slot) for key, slot in zip(reading.keys, reading.slots, strict=True)}
    text = json.dumps(texts, ensure_ascii=False)
    if fault < (faults.empty + faults.malformed) * heat:
        return text[: int(len(text) * cut)] if cut < 0.8 else text[1:-1]
    return text


class _Composer:
    """Writes the slots of one reply so that they agree with each other."""

    def __init__(self, model: ItemModel, reading: Reading, bug: float, temperature: float, stream: Stream) -> None:
        self._model = model
        self._reading = reading
        self._bug = bug
        self._temperature = temperature
        self._stream = stream
        self._own: dict[Mode, Attempt] = {}
        self._given: dict[Mode, int] = {}
        self._sound: bool | None = None

    def plain(self, slot: Slot) -> str:
        """Write a plain-text reply."""
        if slot == "answer":
            index = self._answer("prose")
            if self._reading.terse:
                return self._model.answers[index]
            return f"{self._working()}{self._conclusion(index)}"
        if slot == "code":
            return f"{self._working()}\n\n```python\n{self._program()}\n```"
        return self.slot(slot)

    def slot(self, slot: Slot) -> str:
        """Write the text of one slot."""
        model = self._model
        if slot == "answer":
            return model.answers[self._answer(self._mode())]
        if slot == "code":
            return self._program()
        if slot == "expression":
            return self._expression()
        if slot == "select":
            return self._selected()
        if slot == "restate":
            return f"In plain English [#{model.mark('restate')}]: {model.task}"
        if slot == "principle":
            return f"What matters [#{model.mark('principle')}]: name the quantities, relate them, keep the order."
        if slot in ("critique", "verdict", "score"):
            return self._judgement(slot)
        if slot == "role":
            return f"{_ROLES[self._stream.index(len(_ROLES))]} [#{model.mark('expert')}]"
        if model.item.kind == "code" or {"code", "expression"} & set(self._reading.slots):
            return self._working()
        return f"{self._working()} So I get {model.answers[self._answer(self._mode())]}."

    def _mode(self) -> Mode:
        """How the answer comes about: by the slots in front of it."""
        slots = self._reading.slots
        end = next((i for i, s in enumerate(slots) if s in ("answer", "code", "expression", "select")), len(slots))
        return "steps" if "reason" in slots[:end] or end == len(slots) else "direct"

    def _answer(self, mode: Mode) -> int:
        """Return the answer that the whole reply holds for this mode, deciding it at first use."""
        if mode not in self._given:
            self._own[mode] = attempt(self._model, self._reading, mode, self._temperature, self._stream)
            self._given[mode] = settle(self._model, self._reading, self._own[mode], self._temperature, self._stream)
        return self._given[mode]

    def _working(self) -> str:
        """Write out the working; harder items take more words."""
        length = int(160 * 2 ** min(2.0, max(-1.0, self._model.deriving)) * (0.7 + 0.6 * self._stream.uniform()))
        return _PADDING[:length].rstrip()

    def _conclusion(self, index: int) -> str:
        answer = self._model.answers[index]
        return f" The answer is \\boxed{{{answer}}}." if self._model.item.kind == "math" else f"\n\nAnswer: {answer}"

    def _program(self) -> str:
        """Write a program: the candidate solution of a code benchmark, else one whose value is the intended answer."""
        model = self._model
        if model.item.kind == "code":
            in_text = not self._reading.keys
            return model.answers[self._answer("prose" if in_text else self._mode())]
        broken = self._stream.uniform() < self._bug * (0.3 if self._reading.error else 1.0)
        value = self._parts(model.answers[self._answer("code")])
        lines = ["def solution():", f"    first = {value[0]}", f"    second = {value[1]}"]
        lines.append(f"    return {'frist' if broken else 'first'}{value[2]}second")
        return "\n".join(lines)

    def _expression(self) -> str:
        if self._stream.uniform() < self._bug:
            return "(1 +"
        first, second, operator = self._parts(self._model.answers[self._answer("expression")])
        return f"{first}{operator}{second}"

    def _parts(self, answer: str) -> tuple[str, str, str]:
        """Split an intended answer into two operands and an operator, so that only running the program gives it."""
        value = as_number(answer)
        if value is None or self._model.item.kind not in ("number", "math"):
            cut = max(1, len(answer) // 2)
            return repr(answer[:cut]), repr(answer[cut:]), " + "
        if value == int(value) and abs(value) < 1e15:
            part = 2 + self._stream.index(max(8, min(10_000, int(abs(value)) // 2 + 1)))
            return str(int(value) - part), str(part), " + "
        return repr(value * 8), "8", " / "

    def _selected(self) -> str:
        """Name the label of the answer it prefers; the first label when it prefers none of those shown."""
        labels = self._reading.labels
        preferred = self._answer(self._mode())
        if not labels:
            return self._model.answers[preferred] if self._model.item.kind != "code" else "1"
        return next((label for label, index in labels if index == preferred), labels[0][0])

    def _judgement(self, slot: Slot) -> str:
        if self._sound is None:
            self._sound = judge(self._model, self._reading, self._stream)
        sound = self._sound
        if slot == "verdict":
            return "True" if sound else "False"
        if slot == "score":
            return str((7 if sound else 3) + self._stream.index(4))
        mark = self._model.mark("sound" if sound else "faulty")
        finding = "The solution is correct; no mistake was found." if sound else "There is a mistake in the solution."
        return f"{finding} [#{mark}] {self._working()}"
