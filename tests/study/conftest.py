import gzip
from pathlib import Path
from random import Random

import pytest

from w4s_gym.algos.policies.base import Sample
from w4s_gym.algos.policies.tiny.grammar import draw_proposal
from w4s_gym.algos.seeding import derive_seed


class GrammarPolicy:
    """Writes workflows drawn from the grammar of the tiny meta-agent, without a model."""

    name = "grammar"
    prompt_style = "compact"

    def sample(self, conversations, m, seed):
        return [
            [Sample(draw_proposal(Random(derive_seed(seed, chat[-1]["content"], k))).action) for k in range(m)]
            for chat in conversations
        ]


@pytest.fixture(scope="session")
def grammar_policy():
    """Replaces the meta-agent of a `pytest.MonkeyPatch` by one that needs no model."""

    def replace(patch):
        patch.setattr("w4s_gym.algos.make_policy", lambda spec, **options: GrammarPolicy())

    return replace


@pytest.fixture(autouse=True)
def no_model(monkeypatch, grammar_policy):
    grammar_policy(monkeypatch)


@pytest.fixture
def old_run(tmp_path):
    """Unpacks a run folder of earlier code; returns it, without its table, and the table."""

    def unpack(name):
        stored, folder = Path(__file__).parent / "data" / name, tmp_path / name
        folder.mkdir()
        (folder / "config.json").write_bytes((stored / "config.json").read_bytes())
        (folder / "journal.jsonl").write_bytes(gzip.decompress((stored / "journal.jsonl.gz").read_bytes()))
        return folder, (stored / "table.md").read_text()

    return unpack
