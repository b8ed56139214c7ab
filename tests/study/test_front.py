import pytest
from hypothesis import given
from hypothesis import strategies as st

from w4s_gym.study import CompareConfig, Comparison
from w4s_gym.study.front import Front, Point, pareto_front

points = st.lists(st.tuples(st.integers(0, 8), st.integers(0, 8))).map(
    lambda drawn: [Point(a / 8, float(t), str(i), ("x",), 1) for i, (a, t) in enumerate(drawn)]
)


def beats(a: Point, b: Point) -> bool:
    as_good = a.accuracy >= b.accuracy and a.tokens <= b.tokens
    return as_good and (a.accuracy > b.accuracy or a.tokens < b.tokens)


@given(points)
def test_the_front_holds_what_nothing_beats_each_pair_of_figures_once(drawn):
    front = pareto_front(drawn)
    unbeaten = {(p.accuracy, p.tokens) for p in drawn if not any(beats(q, p) for q in drawn)}
    assert [(p.accuracy, p.tokens) for p in front] == sorted(unbeaten)
    assert all(p in drawn for p in front)


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    config = CompareConfig(
        algos=("seed", "random_edits"), seeds=2, budget=60, validation_size=5, test_size=6, workers=0, candidates=2
    )
    return Comparison(config).run(tmp_path_factory.mktemp("front") / "run", quiet=True)


def test_every_workflow_of_a_run_is_a_point_once(results):
    front = Front.of_results(results)
    cells = [cell.result for cell in results.cells]
    assert {p.workflow for p in front.tested} == {digest for cell in cells for digest in cell["workflows"]}
    assert {p.workflow for p in front.searched} == {digest for cell in cells for digest, *_ in cell["measured"]}
    assert len(front.searched) == len({p.workflow for p in front.searched}) > len(front.tested)
    seed = next(p for p in front.searched if "best seed" in p.designers)
    assert seed.designers == ("best seed", "random edits")  # every search starts from the seeds
    assert seed.measurements == 4  # two designers with two seeds each
    best = max(p.accuracy for p in front.searched)
    assert best >= max(cell["search"]["validation"] for cell in cells) - 1e-9


def test_the_report_shows_the_front_and_says_simulated(results):
    text = results.table
    assert "### Pareto front of test accuracy and tokens an item on W4S-GSMSymbolic-v0 (simulated)" in text
    table = Front.of_results(results).table()
    assert [row[2] for row in table.rows] == [f"{p.tokens:.0f}" for p in pareto_front(Front.of_results(results).tested)]
