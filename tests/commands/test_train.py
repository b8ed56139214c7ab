"""train: what can be seen of a training without a model."""

import pytest

from tests.study.recorded_tracker import Recorded
from w4s_gym.algos.policies.base import Sample
from w4s_gym.study import track

ACTION = """Ask.
```python
def solver(agent, task):
    reply = agent.call_llm(messages=[{"role": "user", "content": task}], temperature=0.0)
    return {"answer": agent.extract_answer_str(reply[0])}
```"""


class Same:
    name, prompt_style = "same", "compact"

    def sample(self, conversations, m, seed):
        return [[Sample(ACTION)] * m for _ in conversations]


@pytest.fixture
def tracked(monkeypatch):
    """Train with a policy that always writes the same, and a tracker that remembers."""
    started = []
    monkeypatch.setattr("w4s_gym.commands.train.make_policy", lambda *_, **__: Same())
    monkeypatch.setattr(track, "_has_key", lambda: False)
    monkeypatch.setitem(track._STARTS, "wandb", lambda card: started.append(Recorded(card)) or started[-1])
    return started


def test_a_training_is_tracked_live_and_goes_on_in_the_same_run(call, tmp_path, tracked):
    options = ["--algo", "untrained", "--candidates", "1", "--out", tmp_path / "run", "--env-options"]
    options += ['{"max_turns": 1, "validation_size": 2, "test_size": 2}']
    assert call("train", *options, "--iterations", "1", "--track")[0] == 0
    code, out, _ = call("train", *options, "--iterations", "2", "--track")
    assert code == 0 and "going on after iteration 1" in out and "tracked: here" in out
    first, second = tracked
    assert first.card.id == second.card.id and first.card.simulated
    assert [set(run.points[0]) >= {"calls", "train/reward", "train/best"} for run in tracked] == [True, True]
    assert [len(run.points) for run in tracked] == [1, 1]
    assert second.summary["validation/best"] == second.points[-1]["train/best"]
    assert call("train", *options, "--iterations", "3")[0] == 0 and len(tracked) == 2, "only with --track"
