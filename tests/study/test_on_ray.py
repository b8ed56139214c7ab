"""On Ray, on this machine with two workers; skipped where Ray is not installed.

The cluster is told of four processors, so that the actors of two cells find room on the two cores of a small machine.
"""

import os
import signal
import time
from functools import partial
from threading import Timer

import gymnasium as gym
import psutil
import pytest

from w4s_gym.commands.compare import COMPARE
from w4s_gym.errors import ConfigError, UnknownBenchmark
from w4s_gym.journal import RunFolder
from w4s_gym.study.config import CompareConfig
from w4s_gym.study.jobs import Job, run_jobs
from w4s_gym.study.notices import Notice
from w4s_gym.workflows import hand_made_workflow

ray = pytest.importorskip("ray", reason="needs w4s-gym[ray]")

from w4s_gym.study.on_ray import RayCrew  # noqa: E402


@pytest.fixture(scope="module", autouse=True)
def cluster():
    os.environ["RAY_worker_niceness"] = "0"
    ray.init(address="local", num_cpus=4, include_dashboard=False, log_to_driver=False, logging_level="error")
    yield
    ray.shutdown()


def pids(name):
    """Running processes of this cluster by what they do."""
    found = []
    for process in psutil.Process().children(recursive=True):
        try:
            found += [process.pid] if process.cmdline()[:1] == [f"ray::{name}"] else []
        except psutil.Error:  # ended meanwhile
            continue
    return found


def explode(notify):
    raise ValueError("no such thing")


def die_once(mark, notify):
    notify(Notice("dying", 0.5))
    if not mark.exists():
        mark.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return {"pid": os.getpid()}


def test_a_lost_process_is_replaced_and_a_failure_ends_its_job_only(tmp_path):
    results, told = {}, []
    run_jobs(
        [Job("bad", explode), Job("lost", partial(die_once, tmp_path / "mark"))],
        2,
        lambda job, outcome: results.update({job.name: outcome}),
        lambda *what: told.append(what),
        RayCrew,
    )
    assert (results["bad"].kind, results["bad"].message) == ("ValueError", "no such thing")
    assert "explode" in results["bad"].trace
    assert results["lost"]["pid"] != os.getpid()
    assert told and all(one == ("lost", Notice("dying", 0.5)) for one in told)


def test_a_comparison_in_which_a_worker_is_killed_writes_the_same_table(tmp_path, monkeypatch):
    def config(name, **where):
        return CompareConfig(
            algos=("seed", "random_edits"), seeds=1, budget=40, candidates=2, validation_size=6, test_size=6,
            run_dir=tmp_path / name, **where,
        )  # fmt: skip

    assert COMPARE.run(config("here", workers=0)) == 0
    killed = []
    wait = RayCrew.wait

    def kill_one(crew):
        for job, message in wait(crew):
            if isinstance(message, Notice) and not killed:
                killed.append(pids("_serve")[0])
                os.kill(killed[0], signal.SIGKILL)
            yield job, message

    monkeypatch.setattr(RayCrew, "wait", kill_one)
    assert COMPARE.run(config("ray", workers=2, cluster="ray", actors=1)) == 0
    assert killed and not RunFolder.open(tmp_path / "ray").records("failure")
    assert (tmp_path / "ray" / "table.md").read_bytes() == (tmp_path / "here" / "table.md").read_bytes()


SLOW = f"import time\n{hand_made_workflow('CoT', 'number')}".replace("    ", "    time.sleep(0.5)\n    ", 1)


def test_an_actor_that_is_killed_while_it_works_changes_nothing():
    def measured(**options):
        env = gym.make("W4S-GSMSymbolic-v0", validation_size=6, test_size=6, **options).unwrapped
        try:
            observation, info = env.reset(seed=3)
            killer = Timer(0.3, lambda: [os.kill(pid, signal.SIGKILL) for pid in pids("_Actor")])
            killer.start()
            evaluation = env.evaluate_workflow(SLOW)
            killer.join()
            return observation, info, evaluation, env.ledger.usage
        finally:
            env.close()

    here = measured()
    assert here[2].usage.calls == 6
    assert measured(cluster={"actors": 1}) == here
    for _ in range(200):  # Ray ends it in its own time
        if not pids("_Actor"):
            return
        time.sleep(0.1)
    pytest.fail("the actor of a closed environment still runs")


def test_what_an_actor_lacks_is_said_as_it_is_said_here():
    env = gym.make("W4S-GSMSymbolic-v0", cluster={"actors": 1}, validation_size=6, test_size=6).unwrapped
    env._parts._spec = "Nowhere"
    with pytest.raises(UnknownBenchmark, match="Nowhere"):
        env.reset(seed=0)
    env.close()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"cluster": {"actors": 0}}, "cluster.actors to be a whole number of at least 1"),
        ({"cluster": {}, "budget": {"calls": 5}}, "no `budget`"),
        ({"cluster": {"actrs": 1}}, "did you mean 'actors'"),
    ],
)
def test_options_that_do_not_go_with_actors_are_refused(options, message):
    with pytest.raises(ConfigError, match=message):
        gym.make("W4S-GSMSymbolic-v0", **options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"cluster": "rey"}, "did you mean 'ray'"),
        ({"cluster": "ray:"}, "ray:<address>"),
        ({"actors": 2}, "--cluster ray"),
        ({"gpus": 1}, "--cluster ray"),
    ],
)
def test_wrong_names_of_clusters_are_refused(options, message):
    with pytest.raises(ConfigError, match=message):
        CompareConfig(**options)


def test_a_cell_that_never_fits_is_refused():
    with pytest.raises(ConfigError, match="65 processors"):
        RayCrew(actors=64)
