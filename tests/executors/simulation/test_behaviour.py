"""Each mechanism of the simulator by its effect on workflows."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import replace

import pytest

from w4s_gym.benchmark import Item
from w4s_gym.executors.sim import SimulatedExecutor
from w4s_gym.executors.simulation.items import ItemModel
from w4s_gym.executors.simulation.reading import read
from w4s_gym.executors.simulation.slots import slots_of_keys


def program_value(chat, **options):
    code = chat.answer(keys=("reasoning", "code"), **options)
    scope = {}
    try:
        exec(code, scope)
        return scope["solution"]()
    except Exception:
        return ""


def majority(chat, n=15):
    return Counter(r["answer"] for r in chat.ask(["reasoning", "answer"], chat.task, n=n)).most_common(1)[0][0]


def test_how_the_answer_is_asked_for_matters(gpt35, make_items, accuracy):
    items = make_items(400)
    direct = accuracy(gpt35, items, lambda c: c.answer(keys=("answer",)), "GSM8K")
    late = accuracy(gpt35, items, lambda c: c.ask(["answer", "reasoning"], c.task)[0]["answer"], "GSM8K")
    steps = accuracy(gpt35, items, lambda c: c.answer(), "GSM8K")
    program = accuracy(gpt35, items, program_value, "GSM8K")
    assert direct + 0.05 < steps < program - 0.2
    assert abs(late - direct) < 0.04, "reasoning after the answer must not help"


def test_a_program_that_is_not_run_gives_no_answer(mini, make_items, chat):
    for item in make_items(30):
        code = chat(mini, item).answer(keys=("reasoning", "code"))
        assert item.gold not in [n.strip() for n in code.replace("=", " ").split()]


def test_votes_converge_to_the_items_own_answer(gpt35, make_items, accuracy, chat):
    """A hundred votes are hardly better than fifteen, and far from all right."""
    items = make_items(150)
    one = accuracy(gpt35, items, lambda c: c.answer(), "MGSM")
    few = accuracy(gpt35, items, majority, "MGSM")
    many = accuracy(gpt35, items, lambda c: majority(c, 100), "MGSM")
    assert abs(many - few) < 0.04 and many < one + 0.12
    wrong = [Counter(r["answer"] for r in chat(gpt35, i, "MGSM").ask(["answer"], i.task, n=30)) for i in items[:60]]
    shares = [
        c.most_common(1)[0][1] / 30 for i, c in zip(items, wrong, strict=False) if c.most_common(1)[0][0] != i.gold
    ]
    assert sum(shares) / len(shares) > 0.4, "wrong answers must be systematic"


def test_a_restatement_helps_where_the_language_is_the_problem(gpt35, make_items, accuracy):
    def plain(c):
        return c.answer()

    def translated(c):
        return c.answer(f"{c.task}\n{c.answer(c.task, ('translation',))}")

    telugu, english = make_items(400, ["te"]), make_items(400, ["en"])
    gain = accuracy(gpt35, telugu, translated, "MGSM") - accuracy(gpt35, telugu, plain, "MGSM")
    small = accuracy(gpt35, english, translated, "MGSM") - accuracy(gpt35, english, plain, "MGSM")
    assert gain > 0.06 and gain > small + 0.03
    assert accuracy(gpt35, english, plain, "MGSM") > accuracy(gpt35, telugu, plain, "MGSM") + 0.1


def test_a_critique_does_harm_too(mini, make_items, chat):
    """A right answer that is called wrong is sometimes given up."""
    given_up = wavered = 0
    for item in make_items(200):
        c = chat(mini, item, "HotpotQA")
        review = c.answer(f"{c.task}\nAnswer: {item.gold}", ("feedback",))
        if "mistake in the solution" in review:
            wavered += 1
            given_up += c.answer(f"{c.task}\nAnswer: {item.gold}\n{review}") != item.gold
    assert wavered > 5 and 0 < given_up < wavered


def test_an_error_shown_leads_to_another_program(mini, make_items, chat):
    item = Item(
        "c/1",
        "def total(values):\n    '''Sum of the values above 3.'''\n",
        "def total(values):\n    return sum(v for v in values if v > 3)\n",
        kind="code",
        entry_point="total",
    )
    c = chat(mini, item, "HumanEval")
    model = ItemModel(mini.profile, item, "HumanEval")
    wrong = model.answers[1]
    shown = f"{item.task}\n```python\n{wrong}\n```\nFailed: assert total([4]) == 4\nAssertionError"
    replies = Counter(r["code"] for r in c.ask(["reflection", "code"], shown, n=50))
    assert replies[wrong] < 10 and replies[model.answers[0]] > 15


def test_no_mutant_changes_a_loop_that_might_then_never_end(mini):
    source = (
        "def f(n):\n    steps = 0\n    while n > 1:\n        n = n // 2\n        steps += 1\n    return steps + 3\n"
    )
    item = Item("c/3", "def f(n): ...", source, kind="code", entry_point="f")
    answers = ItemModel(mini.profile, item).answers
    assert len(answers) >= 4
    assert all("while n > 1:\n        n = n // 2\n        steps += 1" in answer for answer in answers)


def test_mutants_are_programs_that_differ(mini):
    item = Item(
        "c/2",
        "def f(a, b): ...",
        "def f(a, b):\n    if a > b:\n        return a - b\n    return max(a, b) + 1\n",
        kind="code",
        entry_point="f",
    )
    answers = ItemModel(mini.profile, item).answers
    assert len(set(answers)) == len(answers) >= 6
    results = []
    for source in answers:
        scope = {}
        exec(source, scope)
        results.append([scope["f"](a, b) for a, b in ((1, 2), (5, 2), (3, 3), (-1, 4))])
    assert sum(result != results[0] for result in results[1:]) >= 5


@pytest.mark.parametrize(
    ("kind", "gold", "task"),
    [
        ("number", "18", "Ann has 9 hens and 2 eggs from each. How many eggs?"),
        ("number", "2.5", "Half of 5 is?"),
        ("text", ["Marie Curie", "Curie"], "Marie Curie met Albert Einstein and Niels Bohr in Paris. Who won twice?"),
        ("choice", "C", "What is it?\nA. one\nB. two\nC. three\nD. four"),
        ("math", "\\frac{3}{4}", "Write 0.75 as a fraction."),
    ],
)
def test_answers_of_every_kind(mini, chat, kind, gold, task):
    """The right answer comes, and wrong ones of the same form."""
    item = Item("k/1", task, gold, kind=kind)
    model = ItemModel(mini.profile, item)
    assert model.answers[0] == (gold if isinstance(gold, str) else gold[0])
    assert len(set(model.answers)) == len(model.answers) >= 4
    if kind == "choice":
        assert set(model.answers) == set("ABCD")


def test_the_reader_finds_answers_but_not_labels(mini, make_items, chat):
    item = make_items(1)[0]
    model = ItemModel(mini.profile, item)
    right, wrong = model.answers[0], model.answers[3]
    c = chat(mini, item)
    shown = read(c.request(["choice"], f"{item.task}\nSolution 1: {right}\nSolution 2: {wrong}\nA: {wrong}"), model)
    assert shown.shown == (0, 3, 3)
    assert dict(shown.labels) == {"1": 0, "2": 3, "A": 3}
    assert read(c.request(["answer"], item.task), model).shown == ()


def test_names_of_keys_choose_the_kind_of_text():
    assert slots_of_keys(("thinking", "final_answer"), "number") == ("reason", "answer")
    assert slots_of_keys(("plan", "solution"), "code") == ("reason", "code")
    assert slots_of_keys(("best_index",), "number") == ("select",)
    assert slots_of_keys(("choice",), "choice") == ("answer",)
    assert slots_of_keys(("translation", "x"), "number") == ("restate", "answer")
    assert slots_of_keys(("isCorrect", "feedback"), "number") == ("verdict", "critique")


def test_shorter_prompts_without_the_question_know_less(mini, make_items, accuracy):
    items = make_items(200)
    whole = accuracy(mini, items, lambda c: c.answer())
    half = accuracy(mini, items, lambda c: c.answer(c.task[: len(c.task) // 2]))
    assert half < whole - 0.3


def test_a_model_that_loses_the_thread_under_json_keys_keeps_it_in_plain_text(gpt35, make_items, accuracy):
    items = make_items(200)
    domains = {name: replace(domain, json=2.0) for name, domain in gpt35.profile.domains.items()}
    small = SimulatedExecutor("sim:small", replace(gpt35.profile, domains=domains))

    def plain(c):
        return re.findall(r"-?\d+", c.say(c.task))[-1]

    def accuracies(executor):
        keyed = accuracy(executor, items, lambda c: c.answer(), "GSM8K")
        return keyed, accuracy(executor, items, plain, "GSM8K")

    (keyed, text), (small_keyed, small_text) = accuracies(gpt35), accuracies(small)
    assert small_keyed < keyed - 0.1
    assert small_text == text


@pytest.mark.parametrize("instructions", ["Give the answer only.", "Reply with the final number only."])
def test_a_model_that_answers_at_once_when_told_to_be_brief_needs_the_working(
    gpt35, make_items, accuracy, instructions
):
    items = make_items(200)
    domains = {
        name: replace(domain, direct=domain.prose - 2.0, brief=1.0) for name, domain in gpt35.profile.domains.items()
    }
    small = SimulatedExecutor("sim:small", replace(gpt35.profile, domains=domains))

    def number(text):
        return (re.findall(r"-?\d+", text) or [""])[-1]  # a reply may be empty

    def told(executor, words):
        return accuracy(executor, items, lambda c: number(c.say(c.task, instructions=words)), "GSM8K")

    assert told(small, instructions) < told(gpt35, instructions) - 0.1
    for words in ("", f"Think step by step. {instructions}"):
        assert told(small, words) == told(gpt35, words), "where the working is free, or asked for"
    keyed = {
        accuracy(executor, items, lambda c: c.answer(instructions=instructions), "GSM8K") for executor in (gpt35, small)
    }
    assert len(keyed) == 1, "under JSON keys it is the keys that decide"
