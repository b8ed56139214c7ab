"""The live board: calls, tokens, dollars, time left, and what each worker does."""

import time
from io import StringIO

import pytest
from rich.console import Console

from w4s_gym.ledger import Ledger
from w4s_gym.study import environment, notices
from w4s_gym.study.board import Board
from w4s_gym.study.config import CompareConfig
from w4s_gym.study.notices import Notice, Teller
from w4s_gym.usage import Usage


def last_frame(board, output):
    output.truncate(0)
    board._bars.refresh()
    return output.getvalue()


@pytest.mark.parametrize("simulated", [True, False])
def test_it_shows_what_is_done_what_it_costs_and_the_time_left(simulated):
    output = StringIO()
    console = Console(file=output, force_terminal=True, width=180, color_system=None)
    with Board(3, 1, console, simulated=simulated) as board:
        board.show("rlao/0", Notice("iteration 4", 0.5, Usage(1200, 0, 30_000, 4_000, 0.25)))
        board.show("sft/0", Notice("testing", 0.9, Usage(300, 0, 1_000, 0, None)))
        frame = last_frame(board, output)
        assert "iteration 4" in frame and "1,200 calls, 34,000 tokens, $0.25" in frame
        assert "testing" in frame and "300 calls, 1,000 tokens, $?" in frame
        assert "1,500 calls, 35,000 tokens" in frame and "1 of 3" in frame and "left" in frame
        assert ("(simulated)" in frame) is simulated
        board.end("sft/0", "")
        frame = last_frame(board, output)
        assert "2 of 3" in frame and "1,500 calls" in frame, "what ended cells cost still counts"
        assert "testing" not in frame.split("finished")[-1]


def test_a_cell_that_is_busy_with_one_thing_tells_what_it_costs(monkeypatch):
    monkeypatch.setattr(notices, "EVERY", 0.01)
    told = []
    with Teller(told.append) as teller:
        ledger = Ledger("run")
        teller.ledgers.append(ledger)
        teller.tell("iteration 0", 0.1)
        ledger.settle(0, Usage(calls=7))
        deadline = time.monotonic() + 20
        while len(told) < 2 and time.monotonic() < deadline:
            time.sleep(0.01)
    assert told[0] == Notice("iteration 0", 0.1)
    assert told[1] == Notice("iteration 0", 0.1, Usage(calls=7))


def test_libraries_draw_no_bars_of_their_own():
    logging = pytest.importorskip("transformers.utils.logging")
    logging.enable_progress_bar()
    environment.load_policy(CompareConfig())
    assert not logging.is_progress_bar_enabled()
