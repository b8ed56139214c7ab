"""The page of a run: complete, inert, and it opens in a real browser."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from w4s_gym.algos.trajectory import Row, write_rows
from w4s_gym.journal import RunFolder
from w4s_gym.study import show
from w4s_gym.study.report import ComparisonReport
from w4s_gym.study.results import Results
from w4s_gym.study.view import write_view

HOSTILE = "</script><script>document.title = 'owned'</script><img src=x onerror=\"document.title='owned'\">\u2028\ud800"
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


def solver(answer: str) -> str:
    return f"def solver(agent, task):\n    return {{'answer': {answer!r}}}\n"


def row(cell, turn: int, candidate: int, accuracy: float | None, chosen: bool, text: str = "") -> Row:
    return Row(
        messages=({"role": "user", "content": f"turn {turn} {text}"},),
        action=f"{text}\n\n```python\n{solver(str(candidate))}```",
        reward=accuracy,
        accuracy=accuracy,
        kind="design",
        status="skipped" if accuracy is None else "evaluated",
        chosen=chosen,
        benchmark="GSMSymbolic",
        run=f"{cell.algo}/{cell.seed}",
        episode=0,
        turn=turn,
        candidate=candidate,
        simulated=True,
        reward_kind="tiers",
        new_best=chosen,
    )


@pytest.fixture
def page(old_run, tmp_path):
    """The page of a stored run, with texts of ours, and what it shows."""

    def make(count: int = 0, text: str = "plain", records: list[dict] | None = None) -> tuple[Path, dict]:
        folder, _ = old_run("compare")
        results = Results.of_run(RunFolder.open(folder))
        cell = next(cell for cell in results.cells if cell.algo == "rlao")
        rows = [row(cell, 0, 0, 0.25, False), row(cell, 0, 1, 0.5, True, text), row(cell, 1, 0, None, False, text)]
        rows += [row(cell, 2 + i // 5, i % 5, 0.5, i % 5 == 0, f"{i} " + text * 20) for i in range(count)]
        target = folder / "cells" / f"rlao-{cell.seed}" / "rows.jsonl"
        target.unlink(missing_ok=True)
        write_rows(target, rows)
        journal = [{"kind": "reset", "draw": 7, "seeds": {"seed CoT": 0.1, "seed x": 0.2}, "workflow": solver("start")}]
        journal += [] if records is None else records
        target.with_name("evaluations.jsonl").write_text("".join(json.dumps(r) + "\n" for r in journal))
        path = write_view(results, ComparisonReport(results).tables, folder, tmp_path / "view.html")
        return path, shown_data(path)

    return make


def shown_data(path: Path) -> dict:
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', path.read_text(), re.DOTALL)
    return json.loads(found[1])


def test_every_text_is_there_with_its_parent_and_its_interval(page):
    _, data = page()
    ours = [r for r in data["rows"] if r["algo"] == "rlao"]
    assert [(r["turn"], r["candidate"], r["status"]) for r in ours] == [
        (0, 0, "evaluated"), (0, 1, "evaluated"), (1, 0, "skipped"),
    ]  # fmt: skip
    assert [r["parent"] for r in ours] == [None, None, ours[1]["index"]]
    assert [r["parent_accuracy"] for r in ours] == [0.2, 0.2, 0.5]
    assert data["texts"][ours[0]["parent_workflow"]] == solver("start")
    assert data["texts"][ours[2]["parent_workflow"]] == solver("1")
    low, high = ours[1]["interval"]
    assert 0 < low < 0.5 < high < 1


def evaluation(workflow: str, draw: int, failed: dict[str, str], accuracy: float, **more) -> dict:
    items = [[item, "ok", float(item not in failed)] for item in ("q1", "q2", "q3", "q4")]
    facts = {"kind": "evaluation", "part": "validation", "draw": draw, "workflow": workflow, "accuracy": accuracy}
    return {**facts, "items": items, "failed": failed, **more}


def test_items_that_failed_stand_beside_their_workflow_with_the_calls_that_were_kept(page):
    _, data = page(
        records=[
            evaluation(solver("start"), 7, {"q1": "a", "q2": "b", "q3": "c"}, 0.2),
            evaluation(solver("1"), 8, {"q4": "of another draw"}, 0.5),
            evaluation(solver("1"), 7, {"q1": "answered '5'", "q4": "KeyError"}, 0.5, transcripts={"q4": "call 1 ..."}),
            {**evaluation(solver("1"), 7, {}, 0.5), "part": "test"},
        ]
    )
    ours = [r for r in data["rows"] if r["algo"] == "rlao"]
    assert ours[0]["items"] is None and ours[0]["calls"] == []  # nobody wrote down how it failed
    failed = [(data["items"][i], status, score, data["texts"][t]) for i, status, score, t in ours[1]["items"]["failed"]]
    assert failed == [("q1", "ok", 0.0, "answered '5'"), ("q4", "ok", 0.0, "KeyError")]
    assert ours[1]["items"]["count"] == 4
    assert [(data["items"][c["item"]], data["texts"][c["text"]]) for c in ours[1]["calls"]] == [("q4", "call 1 ...")]
    start = data["starts"][ours[1]["start"]]
    assert [data["items"][i] for i, *_ in start["items"]["failed"]] == ["q1", "q2", "q3"]


def test_a_workflow_that_did_not_run_is_nobodys_parent(old_run, tmp_path):
    folder, _ = old_run("compare")
    results = Results.of_run(RunFolder.open(folder))
    cell = next(cell for cell in results.cells if cell.algo == "rlao")
    path = [row(cell, 0, 0, 0.5, True), row(cell, 1, 0, None, True), row(cell, 2, 0, 0.5, True)]
    write_rows(folder / "cells" / f"rlao-{cell.seed}" / "rows.jsonl", path)
    data = shown_data(write_view(results, [], folder, tmp_path / "view.html"))
    ours = [r for r in data["rows"] if r["algo"] == "rlao"]
    assert [r["parent"] for r in ours] == [None, ours[0]["index"], ours[0]["index"]]


def test_the_page_says_that_it_is_simulated_and_holds_all_tables(page):
    _, data = page()
    assert data["simulated"]
    assert all("(simulated)" in table["title"] for table in data["tables"])
    assert any("Differences" in table["title"] for table in data["tables"])
    assert data["winner"]["source"].strip()


def test_hostile_texts_are_data_only(page):
    path, data = page(text=HOSTILE.replace("\ud800", ""))
    html = path.read_text()
    assert html.count("<script") == 2 and "<img" not in html
    assert any("onerror" in text for text in data["texts"])


def test_rows_of_another_version_are_named_and_the_rest_is_shown(old_run, tmp_path):
    folder, _ = old_run("compare")
    results = Results.of_run(RunFolder.open(folder))
    (folder / "cells" / "rlao-0").mkdir(parents=True, exist_ok=True)
    (folder / "cells" / "rlao-0" / "rows.jsonl").write_text('{"what": "is this"}\n')
    path = write_view(results, ComparisonReport(results).tables, folder, tmp_path / "view.html")
    assert "not shown:" in path.read_text()


def browse(path: Path, width: int = 1600, place: str = "") -> str:
    """Open a page in a real browser and return what it shows in the end, as HTML; nothing may go wrong meanwhile."""
    if CHROMIUM is None:
        pytest.skip("needs a browser: apt-get install chromium")
    done = subprocess.run(
        [
            CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
            "--disable-background-networking", "--disable-component-update", "--disable-sync",
            f"--user-data-dir={path.parent / 'profile'}", f"--window-size={width},1200", "--enable-logging=stderr",
            "--virtual-time-budget=20000", "--dump-dom", path.as_uri() + place,
        ],
        capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert "CONSOLE" not in done.stderr, done.stderr[-2000:]
    return done.stdout


@pytest.mark.parametrize(("width", "count"), [(400, 0), (1600, 2000)])
def test_a_browser_opens_it_without_an_error(page, width, count):
    hostile = HOSTILE.replace("\ud800", "")
    workflow = solver("1")
    record = evaluation(workflow, 7, {"q1": hostile, hostile: hostile}, 0.5, transcripts={"q1": hostile})
    path, data = page(count, hostile, [record])
    opened = next(r["index"] for r in data["rows"] if r["calls"])
    shown = browse(path, width, f"#{opened}")
    assert "What failed: 1 of 4 items" in shown and "Executor calls of 1 failed items (simulated)" in shown
    assert 'data-ready="true"' in shown
    assert "<title>w4s-gym run (simulated)</title>" in shown  # no hostile script ran
    assert "new best" in shown


def test_filters_leave_what_they_say(page, tmp_path):
    path, data = page(10)
    ours = [r for r in data["rows"] if r["algo"] == "rlao"]
    user = """
        const set = (id, value) => { byId(id).value = value; byId(id).dispatchEvent(new Event(id === "query" ? "input" : "change")); };
        const seen = [];
        for (const [id, value] of [["which", "best"], ["which", "failed"], ["which", "all"], ["designer", "rlao"], ["query", "7 plain"]]) {
          set(id, value);
          seen.push(byId("tree").querySelectorAll("button").length);
        }
        document.title = seen.join(" ");
    """  # noqa: E501
    used = path.read_text().replace("</body>", f"<script>{user}</script></body>")
    (tmp_path / "used.html").write_text(used)
    counts = [
        sum(r["new_best"] for r in data["rows"]), sum(r["status"] != "evaluated" for r in data["rows"]),
        len(data["rows"]), len(ours), sum("7 plain" in data["texts"][r["action"]] for r in ours),
    ]  # fmt: skip
    assert counts[-1] == 1 < counts[0] < counts[2]
    assert f"<title>{' '.join(map(str, counts))}</title>" in browse(tmp_path / "used.html")


def test_a_notebook_shows_it_in_a_frame_of_its_own(page, tmp_path):
    page(text=HOSTILE.replace("\ud800", ""))
    frame = show(tmp_path / "compare")._repr_html_()
    end = "document.documentElement.dataset.ready = &quot;true&quot;;"
    assert end in frame
    told = frame.replace(
        end, "open(1); parent.postMessage(document.getElementById(&quot;detail&quot;).textContent, &quot;*&quot;);"
    )
    listen = "addEventListener('message', (event) => { document.title = event.data.slice(0, 40); });"
    (tmp_path / "notebook.html").write_text(f"<!doctype html><script>{listen}</script>{told}", encoding="utf-8")
    shown = browse(tmp_path / "notebook.html")
    assert "<title>RLAO, seed" in shown
