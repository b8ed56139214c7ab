import pytest

from w4s_gym.env import WorkflowDesignEnv
from w4s_gym.remembered import MOST, Remembered
from w4s_gym.results import ItemResult
from w4s_gym.sandbox import Sandbox


@pytest.fixture
def runs(monkeypatch):
    """Counts runs of workflows, and forgets what other tests remembered."""
    monkeypatch.setattr("w4s_gym.remembered._by_kind", {})
    counted = []
    run_workflow = Sandbox.run_workflow

    async def run(self, source, *arguments, **options):
        counted.append(source)
        return await run_workflow(self, source, *arguments, **options)

    monkeypatch.setattr(Sandbox, "run_workflow", run)
    return counted


def play(seed=1, executor="sim:gpt-3.5-turbo", **options):
    """State, costs and test result of an episode with one seed workflow and one action."""
    env = WorkflowDesignEnv(
        "ChainSum",
        executor,
        **{"validation_size": 5, "test_size": 3, "seed_workflows": ["CoT"], **options},
    )
    try:
        env.reset(seed=seed)
        env.step("The same again.\n\n```python\n" + env.state.workflow + "\n# again\n```")
        return [env.state, env.ledger.usage, env.evaluate_test(env.state.workflow, 7)]
    finally:
        env.close()


def test_environments_that_are_alike_measure_the_same_once_with_the_same_figures_and_charges(runs):
    alone = play()
    once = len(runs)
    assert once == 2 * (5 + 1) + 3, "validation items, and one that failures are shown from; then the test"
    first = play(remember=True)
    assert len(runs) == 2 * once
    second = play(remember=True)
    assert len(runs) == 2 * once
    assert first == alone
    assert second == alone


@pytest.mark.parametrize(
    "options",
    [
        {"limits": {"item_caps": {"calls": 5}}},
        {"budget": {"calls": 10_000}},
        {"executor": "sim:gpt-4o-mini"},
        {"remember": False},
        {"seed": 2},
    ],
    ids=["other limits", "a cap on the run", "another executor", "not asked for", "another draw"],
)
def test_an_environment_that_could_measure_something_else_measures_afresh(runs, options):
    play(remember=True)
    once = len(runs)
    play(**{"remember": True, "seed": 1, **options})
    assert len(runs) >= 2 * once - 3  # (the test draw is the same whatever the seed of the episode)


@pytest.mark.parametrize("status", ["infrastructure", "timeout_wall", "timeout_cpu"])
def test_what_a_busy_machine_may_have_caused_is_not_kept(status):
    memory = Remembered()
    memory.keep("workflow", "item", 0, ItemResult("item", status, 0.0), frozenset())
    assert memory.get("workflow", "item", 0) is None


def test_results_that_were_not_asked_for_give_way(monkeypatch):
    monkeypatch.setattr("w4s_gym.remembered.MOST", 2)
    memory = Remembered()
    for i in range(3):
        memory.keep("workflow", str(i), 0, ItemResult(str(i), "ok", 1.0), frozenset())
        assert memory.get("workflow", "0", 0) is not None
    assert [memory.get("workflow", str(i), 0) is None for i in range(3)] == [False, True, False]
    assert MOST > 10_000
