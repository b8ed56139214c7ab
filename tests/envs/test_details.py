"""Facts of single benchmarks."""

import ast
import asyncio
import re
from collections import Counter

import pytest

from w4s_gym.benchmark import get_benchmark
from w4s_gym.envs.humaneval import public_examples
from w4s_gym.errors import ConfigError, DataCorrupt
from w4s_gym.splits import make_split


def test_mgsm_translations_stay_on_one_side(samples, data_folder, monkeypatch):
    for code in ("en", "fr"):
        (data_folder / f"mgsm/mgsm_{code}.tsv").write_text(
            (data_folder / "mgsm/mgsm_de.tsv").read_text().replace("lemons", f"lemons ({code})")
        )
    items = get_benchmark("MGSM").load(language=("de", "en", "fr"), verify=False)
    assert len(items) == 42
    split = make_split(items, 12, 20)
    rows = [{item.id.partition("/")[2] for item in side} for side in (split.validation, split.test)]
    assert not rows[0] & rows[1]
    assert len(Counter(item.group for item in split.test)) == 3


def test_mgsm_gold_has_no_comma(samples, data_folder):
    assert get_benchmark("MGSM").load(**samples["MGSM"].options)[0].gold == "3600"


def test_mmlu_pro_drops_fillers_and_keeps_the_letter(samples, hub):
    hub(samples["MMLUPro"].hub)
    items = get_benchmark("MMLUPro").load(verify=False)
    assert all("N/A" not in item.task for item in items)
    assert {item.gold for item in items} == {"C"}


def test_mmlu_pro_answer_must_be_an_option(samples, data_folder):
    path = data_folder / "mmlu_pro/mmlu_pro_test.jsonl"
    path.write_text(path.read_text().replace('"answer": "C"', '"answer": "J"', 1))
    with pytest.raises(DataCorrupt, match="question 100"):
        get_benchmark("MMLUPro").load(verify=False)


def test_gpqa_shuffles_with_the_seed(samples, hub):
    hub(samples["GPQA"].hub)
    first, again, other = (get_benchmark("GPQA").load(shuffle_seed=seed) for seed in (0, 0, 1))
    assert first == again != other
    assert len({item.gold for item in first}) > 1
    for item in (*first, *other):
        line = next(line for line in item.task.splitlines() if line.startswith(f"{item.gold}. "))
        assert line[3:].startswith("right")


def test_math_takes_the_last_box_and_a_level(samples, data_folder):
    items = get_benchmark("MATH").load(verify=False)
    assert items[1].gold == r"\frac{3}{2}"
    assert len(get_benchmark("MATH").load(verify=False, level=5)) == 2


def test_math_without_a_box_names_the_row(samples, data_folder):
    path = data_folder / "math/MATH_test.jsonl"
    lines = path.read_text().splitlines()
    lines[4] = lines[4].replace("boxed", "fooxed")
    path.write_text("\n".join(lines))
    with pytest.raises(DataCorrupt, match="row 5"):
        get_benchmark("MATH").load(verify=False)


def test_gsm8k_without_a_mark_names_the_row(samples, data_folder):
    path = data_folder / "gsm8k/test.jsonl"
    lines = path.read_text().splitlines()
    lines[2] = lines[2].replace("####", "so")
    path.write_text("\n".join(lines))
    with pytest.raises(DataCorrupt, match="row 3"):
        get_benchmark("GSM8K").load(verify=False)


def test_drop_gold_lists_annotators_once(samples, hub):
    hub(samples["DROP"].hub)
    item = get_benchmark("DROP").load(verify=False)[2]
    assert item.gold == ["herons and swans", "2", "3 May"]
    assert item.task.endswith("Which birds were counted?")


def test_hotpotqa_closed_book_has_no_paragraphs(samples, hub):
    hub(samples["HotpotQA"].hub)
    benchmark = get_benchmark("HotpotQA")
    assert "[Lake Orn] Orn is a lake. It is 30 m deep." in benchmark.load(verify=False)[0].task
    assert "Orn is a lake" not in benchmark.load(verify=False, closed_book=True)[0].task


def test_all_asserts_of_mbpp_grade_the_public_one_too(samples, data_folder):
    for item in get_benchmark("MBPP").load(verify=False):
        assert len(item.public_tests) == 1
        assert item.public_tests[0] in item.task
        assert item.public_tests[0] in item.hidden_tests
        assert item.hidden_tests.count("assert") == 4
        assert f"{item.entry_point}(number, extra=0)" in item.task


def test_humaneval_hidden_tests_call_check():
    items = get_benchmark("HumanEval").load()
    assert len(items) == 164
    for item in items:
        assert item.hidden_tests.rstrip().endswith(f"check({item.entry_point})")
        assert item.context["prompt"] == item.context["setup"] == item.task


def test_humaneval_has_public_examples_for_most_tasks():
    items = get_benchmark("HumanEval").load()
    assert sum(bool(item.public_tests) for item in items) == 139
    for item in items:
        for test in item.public_tests:
            assert isinstance(ast.parse(test).body[0], ast.Assert)


PROMPT = '''def helper(x):
    """>>> helper(1)
    1
    """
    return x

def f(x, y=0):
    """Examples:
    >>> f(1)
    2
    >>> f("a\\nb")
    'c'
    f(2) ==> 3   # three
    * f([1, 2]) => [3]
    f(3) -> 3 + 1
    f(4) returns true
    f(undefined) == 5
    f(5) == __import__("os").getpid()
    f(6, 'x)') ➞ {'k': (1, 2)}
    >>> f(
    """
'''


def test_public_examples_of_many_notations():
    assert public_examples(PROMPT, "f") == (
        "assert f(1) == 2",
        "assert f('a\\nb') == 'c'",
        "assert f(2) == 3",
        "assert f([1, 2]) == [3]",
        "assert f(4) == True",
        "assert f(6, 'x)') == {'k': (1, 2)}",
    )


def test_generated_items_depend_on_the_seed_only():
    for name in ("GSMSymbolic", "ChainSum"):
        load = get_benchmark(name).load
        assert load(size=50) == load(size=50) != load(size=50, data_seed=1)
        assert load(size=50)[:20] == load(size=60)[:20]


def test_chain_sum_difficulty():
    items = get_benchmark("ChainSum").load(terms=3, digits=1, size=200)
    for item in items:
        expression = item.task.partition(": ")[2].removesuffix(" =")
        assert len(expression.split()) == 5
        assert str(eval(expression)) == item.gold  # a sum of single digits made here


def test_chain_sum_stories_are_small():
    for item in get_benchmark("ChainSum").load(style="story"):
        numbers = [int(number) for number in re.findall(r"\d+", item.task)]
        assert len(numbers) == 2 and max(numbers) <= 12
        assert int(item.gold) >= 0


async def _no_tests(job):
    raise AssertionError("no tests expected")


def test_gsm_hard_tolerances(samples, data_folder):
    import asyncio

    benchmark = get_benchmark("GSMHard")
    exact = benchmark.load(verify=False)[0]
    loose = benchmark.load(verify=False, published_tolerance=True)[0]

    def score(item, answer):
        return asyncio.run(benchmark.grade(item, answer, _no_tests))

    near = repr(exact.gold + 0.09)
    assert (score(exact, near), score(loose, near)) == (0.0, 1.0)
    assert score(loose, repr(exact.gold + 0.11)) == 0.0
    assert score(exact, repr(exact.gold * (1 + 1e-8))) == 1.0


PUBLISHED = [
    ("MGSM", {"language": "de"}, "{}", "${}"),
    ("GSM8K", {}, "so {}", "#### {}\n(in 7777 steps)"),
    ("MMLUPro", {}, "The answer is ({})", "The answer is ${}$, option K fails, so does L. J"),
]


@pytest.mark.parametrize(("name", "options", "right", "missed"), PUBLISHED)
def test_the_published_grading_is_an_option_and_misses_forms_that_the_default_reads(
    samples, data_folder, name, options, right, missed
):
    benchmark = get_benchmark(name)
    tolerant = benchmark.load(verify=False, **options)
    published = benchmark.load(verify=False, grading="published", **options)
    assert [item.id for item in tolerant] == [item.id for item in published]

    def grade(item, form):
        return asyncio.run(benchmark.grade(item, form.format(item.gold), None))

    assert grade(tolerant[0], right) == grade(published[0], right) == 1.0
    assert grade(tolerant[0], missed) == 1.0 and grade(published[0], missed) == 0.0
    with pytest.raises(ConfigError, match="published"):
        benchmark.load(verify=False, grading="strict", **options)
