"""The pages that are made of the code say what the code says, and no link of the site leads nowhere."""

import importlib.util
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def script(name: str):
    spec = importlib.util.spec_from_file_location(f"script_{name}", ROOT / "experiments" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def made():
    return script("docs_pages")


def test_pages_of_environments_and_algorithms_are_those_of_the_code(made):
    pages = dict(made.pages())
    there = {path for folder in ("environments", "algorithms") for path in (ROOT / "docs" / folder).glob("*.md")}
    assert set(pages) == there
    old = [path.name for path, text in pages.items() if path.read_text(encoding="utf-8") != text]
    assert not old, f"run `python experiments/docs_pages.py` again: {old} changed"


def test_scores_of_the_seed_workflows_are_those_that_the_code_measures(made):
    """Of one benchmark, whose items need no data."""
    import json

    assert made.seed_scores("ChainSum") == json.loads(made.SCORES.read_text(encoding="utf-8"))["ChainSum"]


def test_a_page_tells_spaces_reward_options_splits_and_seed_workflows(made):
    page = (ROOT / "docs" / "environments" / "MGSM.md").read_text(encoding="utf-8")
    for said in (
        "UnicodeText",
        "beats all workflows before it",
        "`language`",
        "128 validation",
        "CC-BY-4.0",
        "| CoT |",
    ):
        assert said in page
    page = (ROOT / "docs" / "algorithms" / "rlao.md").read_text(encoding="utf-8")
    for said in ("exp(r_i / tau)", "python experiments/compare_algos.py", "(simulated)", "| `tau` |", "| RLAO |"):
        assert said in page


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ("[text](commands.md#x)", "[text](commands.md#x)"),
        ("[text](../algos/rlao.py)", "text"),
        ("[text](https://example.org/a.py)", "[text](https://example.org/a.py)"),
        ("![text](images/none.webp)", "![text](images/none.webp)"),  # mkdocs itself checks images
    ],
)
def test_links_to_sources_become_text_in_the_site(given, shown):
    assert script("docs_site").without_outside_links(given, "training.md") == shown


def test_a_link_to_a_file_that_does_not_exist_ends_the_build():
    with pytest.raises(ValueError, match=r"training\.md links to \.\./algos/none\.py"):
        script("docs_site").without_outside_links("[text](../algos/none.py)", "training.md")
