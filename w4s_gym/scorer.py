"""A benchmark as a plain function of a workflow's source, for optimisers that bring their own search."""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING, Any, cast

import gymnasium as gym

from w4s_gym._loop import finish
from w4s_gym.errors import BudgetExceeded, ExecutorUnavailable, ProtocolError

if TYPE_CHECKING:  # importing the package must stay cheap
    from w4s_gym.env import WorkflowDesignEnv
    from w4s_gym.ledger import Ledger
    from w4s_gym.results import Evaluation


class Scorer:
    """Scores workflows on the validation items: `scorer(source)` returns a score and what to do better, in words.

    The score is the accuracy, less what the executor calls are worth if the option `reward` gives them a price.

    A workflow that fails its self-test scores 0 without a run on the validation items; one that was scored before costs
    nothing again. May be called from several threads. `await scorer.ascore(source)` does the same on any event loop.
    """

    def __init__(self, env: WorkflowDesignEnv, draw: int) -> None:
        """Score with the parts of an environment, on one draw of the executor's randomness."""
        self._env = env
        self._draw = draw
        seeds = env.benchmark.choose_seeds(env.config.seed_workflows)
        self.seeds: dict[str, str] = {seed.name: seed.source for seed in seeds}
        """Sources of the benchmark's seed workflows, by name."""
        self.exhausted = False
        """Whether the budget refused a call; a search should stop then."""

    def __call__(self, source: str) -> tuple[float, str]:
        """Score a workflow.

        Args:
            source: Python source that defines `solver(agent, task)`.

        Returns:
            Accuracy on the validation items, in [0, 1] unless executor calls have a price that is taken off, and
            feedback: the error, or some of the items that failed.

        Raises:
            BudgetExceeded: the budget does not suffice for it. It is not a score.
            ExecutorUnavailable: the executor could not answer enough items. It is not a score.
        """
        return finish(self.ascore(source))

    async def ascore(self, source: str) -> tuple[float, str]:
        """Score a workflow, awaited and cancellable; see `__call__`."""
        from w4s_gym.action import MAX_WORKFLOW_CHARS, clean_action
        from w4s_gym.feedback import failed_results, failure_cases, list_cases

        if not isinstance(source, str):
            raise ProtocolError(f"expected the source of a workflow as text; got {source!r:.80}")
        if len(source) > MAX_WORKFLOW_CHARS:
            return 0.0, f"The workflow is too long: {len(source)} characters, of {MAX_WORKFLOW_CHARS} at most."
        source = clean_action(source)
        env, draw = self._env, self._draw
        trial = await env.atry_workflow(source, draw)
        evaluation, error = trial.evaluation, trial.error
        if evaluation is None:
            assert error is not None
            if not trial.infrastructure:
                return 0.0, f"The self-test on one item failed: {error.text()}"
            if error.kind == BudgetExceeded.__name__:
                self.exhausted = True
                raise BudgetExceeded(error.message)
            raise ExecutorUnavailable(error.message)
        lines = [f"Accuracy on {len(evaluation.scored)} validation items: {evaluation.accuracy:.3f}."]
        if env.reward_rule.priced:
            lines.append(f"Taken off for {env.reward_rule.price_text}: {env.cost(evaluation):.3f}.")
        lines += evaluation.notes
        if env.config.feedback_cases:
            items, seen = await env.ato_show(source, evaluation, draw)
            failed = failed_results(seen)
            shown = Random(f"{draw}/{source}").sample(failed, min(len(failed), env.config.feedback_cases))
            cases = list_cases(failure_cases(env.benchmark, items, shown))
            env.mark_shown(shown if cases else ())
            lines += [f"Questions it got wrong:\n{cases}"] if cases else []
        return env.value(evaluation), "\n".join(lines)

    @property
    def ledger(self) -> Ledger:
        """What everything scored has cost."""
        return self._env.ledger

    @property
    def task(self) -> str:
        """The benchmark, the answer format and the `agent` that workflows call, in words for whoever designs."""
        from w4s_gym.prompts import task_text

        return task_text(self._env.card)

    def evaluate_test(self, source: str) -> Evaluation:
        """Measure a workflow on the test items: use it once, at the end."""
        return self._env.evaluate_test(source, self._draw)

    def close(self) -> None:
        """Close executor, sandbox and journal; may be called twice."""
        self._env.close()

    def __enter__(self) -> Scorer:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def make_scorer(env_id: str, *, draw: int = 0, **options: Any) -> Scorer:
    """Make a plain function that scores workflows on the validation items of a benchmark.

    Args:
        env_id: as for `gym.make`, for instance `W4S-MGSM-v0`.
        draw: which draw of the executor's randomness; the same for all workflows, so that they are compared fairly.
        **options: those of the environment: `executor`, `validation_size`, `budget`, `journal`, ...

    Raises:
        ConfigError: an option cannot be used.

    Example:
        >>> import w4s_gym
        >>> with w4s_gym.make_scorer("W4S-GSMSymbolic-v0", validation_size=8, test_size=8) as scorer:
        ...     score, feedback = scorer(scorer.seeds["CoT"])
        ...     scorer("no program")[0], scorer.ledger.usage.calls
        (0.0, 10)
        >>> 0 <= score <= 1 and feedback.startswith("Accuracy on 8 validation items: ")
        True
    """
    env = cast("WorkflowDesignEnv", gym.make(env_id, disable_env_checker=True, **options).unwrapped)
    return Scorer(env, draw)
