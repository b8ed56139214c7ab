import os
import time
from functools import partial

import pytest

import w4s_gym.study.jobs as scheduler
from w4s_gym.study import processes
from w4s_gym.study.notices import Notice
from w4s_gym.study.processes import Processes


def square(number, notify):
    notify(Notice("squaring", 0.5))
    return {"value": number * number, "pid": os.getpid()}


def explode(notify):
    raise ValueError("no such thing")


def die(notify):
    os._exit(3)


def sleep(notify):
    notify(Notice("sleeping", 0.0))
    time.sleep(60)
    return {}


def collect(jobs, workers):
    results, told = {}, []
    scheduler.run_jobs(
        jobs,
        workers,
        lambda job, outcome: results.update({job.name: outcome}),
        lambda *what: told.append(what),
        Processes,
    )
    return results, told


@pytest.mark.parametrize("workers", [0, 2])
def test_jobs_return_their_results_and_report_progress(workers):
    jobs = [scheduler.Job(f"job {n}", partial(square, n)) for n in range(5)]
    results, told = collect(jobs, workers)
    assert {name: result["value"] for name, result in results.items()} == {f"job {n}": n * n for n in range(5)}
    assert sorted(told, key=str) == [(f"job {n}", Notice("squaring", 0.5)) for n in range(5)]
    assert (os.getpid() in {result["pid"] for result in results.values()}) == (workers == 0)


@pytest.mark.parametrize("workers", [0, 2])
def test_a_failing_job_does_not_end_the_others(workers):
    jobs = [scheduler.Job("bad", explode), scheduler.Job("good", partial(square, 3))]
    results, _ = collect(jobs, workers)
    assert results["good"]["value"] == 9
    assert (results["bad"].kind, results["bad"].message) == ("ValueError", "no such thing")
    assert "explode" in results["bad"].trace


def test_a_process_that_dies_is_a_failure_of_its_job_only():
    results, _ = collect([scheduler.Job("dead", die), scheduler.Job("good", partial(square, 3))], 1)
    assert results["dead"].kind == "ProcessDied"
    assert "exit code 3" in results["dead"].message
    assert results["good"]["value"] == 9


def test_ctrl_c_ends_the_processes():
    started = []

    def progress(name, notice):
        started.append((name, time.monotonic()))
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        scheduler.run_jobs([scheduler.Job("long", sleep)], 1, lambda job, outcome: None, progress, Processes)
    ((name, pressed),) = started
    assert name == "long"
    assert time.monotonic() - pressed < 30


def test_processes_that_have_nothing_to_do_end_by_themselves_and_print_nothing(monkeypatch, capfd):
    started = []

    class Watched(processes._Worker):
        def __init__(self):
            super().__init__()
            started.append(self)

    monkeypatch.setattr(processes, "_Worker", Watched)
    collect([scheduler.Job(f"job {n}", partial(square, n)) for n in range(4)], 2)
    assert [worker.process.exitcode for worker in started] == [0, 0]
    assert capfd.readouterr().err == ""
