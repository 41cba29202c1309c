"""Runner of a suite: states, restarts, interruption and progress, on a cluster in this process."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from sb3_atari_course.checkpoints.folder import Checkpoint, CheckpointFolder
from sb3_atari_course.cluster import Ended
from sb3_atari_course.suite import suite_runner
from sb3_atari_course.suite.run_job import RunJob
from sb3_atari_course.suite.suite_folder import SuiteFolder
from sb3_atari_course.suite.suite_runner import RunProgress, SuiteRunner
from tests.suite.suites import job, taxi

KILLED = Ended(death="killed")
INTERRUPTED = Ended(value=False)
Ending = Ended | Callable[[], Ended]


class ScriptedTask:
    """Task that ends as scripted at the next look, or runs until it is interrupted."""

    def __init__(self, ending: Ending | None) -> None:
        self.ending, self.was_interrupted = ending, False

    def poll(self) -> Ended | None:
        return self.ending() if callable(self.ending) else self.ending

    def interrupt(self) -> None:
        self.was_interrupted, self.ending = True, INTERRUPTED


class ScriptedCluster:
    """Cluster whose tasks end as scripted: seed -> endings of its tasks, in order."""

    def __init__(self, **endings: list[Ending | None]) -> None:
        self._endings: dict[int, Iterator[Ending | None]] = {
            int(name[1:]): iter(ends) for name, ends in endings.items()
        }
        self.tasks: list[ScriptedTask] = []
        self.started: list[int] = []

    def start(self, _: object, job: RunJob, **request: float) -> ScriptedTask:
        self.started.append(job.settings.seed)
        self.tasks.append(ScriptedTask(next(self._endings[job.settings.seed])))
        return self.tasks[-1]

    def n_slots(self, **request: float) -> int:
        return 2


@pytest.fixture(autouse=True)
def _without_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(suite_runner, "_POLL_INTERVAL", 0.0)


def runner_of(folder: Path, cluster: Any, seeds: tuple[int, ...] = (1,)) -> SuiteRunner:
    jobs = [job(folder, taxi(seed)) for seed in seeds]
    return SuiteRunner(cluster, jobs, cpus=1, gpus=0)


def write_checkpoint(folder: Path, step: int, seed: int = 1) -> None:
    path = SuiteFolder(folder).run(taxi(seed)) / "checkpoints"
    path.mkdir(parents=True, exist_ok=True)
    CheckpointFolder(path).write(Checkpoint(step, 400, finished=False, facts={}), {"a": 1})


def write_progress(folder: Path, text: str, seed: int = 1) -> None:
    path = SuiteFolder(folder).run(taxi(seed)) / "progress.csv"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def states(runner: SuiteRunner) -> list[str]:
    return [run.state for run in runner.runs]


def test_failed_run_does_not_stop_the_others(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cluster = ScriptedCluster(s1=[Ended(error=ValueError("bad wrapper"))], s2=[Ended(value=True)])
    runner = runner_of(tmp_path, cluster, (1, 2))
    runner.run()
    assert states(runner) == ["failed", "finished"]
    assert runner.runs[0].error == "ValueError: bad wrapper"
    printed = capsys.readouterr().out
    assert str(tmp_path / "workers" / "q_learning_Taxi-v4_1.log") in printed
    assert "1 of 2 finished" in printed


def test_killed_run_is_started_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_checkpoint(tmp_path, 200)
    cluster = ScriptedCluster(s1=[KILLED, Ended(value=True)])
    runner = runner_of(tmp_path, cluster)
    runner.run()
    assert (states(runner), cluster.started) == (["finished"], [1, 1])
    assert "resuming at step 200" in capsys.readouterr().out


def test_run_that_a_signal_has_stopped_is_started_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_checkpoint(tmp_path, 200)
    cluster = ScriptedCluster(s1=[INTERRUPTED, Ended(value=True)])
    runner = runner_of(tmp_path, cluster)
    runner.run()
    assert (states(runner), cluster.started) == (["finished"], [1, 1])
    assert "stopped by a signal, resuming at step 200" in capsys.readouterr().out


def test_run_fails_after_five_deaths_at_the_same_checkpoint(tmp_path: Path) -> None:
    cluster = ScriptedCluster(s1=[KILLED] * 5)
    runner = runner_of(tmp_path, cluster)
    runner.run()
    assert (states(runner), len(cluster.started)) == (["failed"], 5)
    assert "5 times after step 0" in runner.runs[0].error


def test_deaths_with_progress_between_them_do_not_fail_a_run(tmp_path: Path) -> None:
    def killed_after_a_checkpoint() -> Ended:
        write_checkpoint(tmp_path, 10 * len(cluster.started))
        return KILLED

    cluster = ScriptedCluster(s1=[*[killed_after_a_checkpoint] * 8, Ended(value=True)])
    runner = runner_of(tmp_path, cluster)
    runner.run()
    assert (states(runner), len(cluster.started)) == (["finished"], 9)


def test_process_file_left_by_a_kill_is_removed(tmp_path: Path) -> None:
    cluster = ScriptedCluster(s1=[Ended(value=True)])
    runner = runner_of(tmp_path, cluster)
    left = SuiteFolder(tmp_path).process(taxi())
    left.parent.mkdir()
    left.write_text("{}")
    runner.run()
    assert not left.exists()


def test_ctrl_c_interrupts_all_runs_and_waits_for_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cluster = ScriptedCluster(s1=[None], s2=[None])
    runner = runner_of(tmp_path, cluster, (1, 2))
    looks = iter([None, KeyboardInterrupt])

    def look() -> None:
        error = next(looks)
        if error is not None:
            raise error

    monkeypatch.setattr(runner, "_look", look)
    with pytest.raises(KeyboardInterrupt):
        runner.run()
    assert [task.was_interrupted for task in cluster.tasks] == [True, True]
    assert states(runner) == ["stopped", "stopped"]


def test_closed_output_interrupts_all_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def print_to_a_closed_pipe(*_: object, **__: object) -> None:
        raise BrokenPipeError

    cluster = ScriptedCluster(s1=[None], s2=[None])
    runner = runner_of(tmp_path, cluster, (1, 2))
    monkeypatch.setattr(suite_runner, "print", print_to_a_closed_pipe, raising=False)
    with pytest.raises(BrokenPipeError):
        runner.run()
    assert [task.was_interrupted for task in cluster.tasks] == [True, True]


def test_finished_run_is_not_started(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(SuiteFolder, "is_trained", lambda *_: True)
    monkeypatch.setattr(SuiteFolder, "is_evaluated", lambda *_: True)
    cluster = ScriptedCluster()
    runner = runner_of(tmp_path, cluster)
    runner.run()
    assert (states(runner), cluster.started) == (["finished"], [])
    assert runner.runs[0].steps == 400


HEADER = "time/fps,rollout/ep_rew_mean,time/total_timesteps\n"


@pytest.mark.parametrize(
    ("text", "steps", "rate", "score"),
    [
        ("", 0, 0, None),
        (HEADER, 0, 0, None),
        (f"{HEADER}20,-7.5,100\n", 100, 20, -7.5),
        (f"{HEADER}20,-7.5,100\n30,-6.5,200\n", 200, 30, -6.5),
        (f"{HEADER}20,-7.5,100\n30,-6.", 100, 20, -7.5),
        (f"{HEADER}20,,100\n", 100, 20, None),
        (f"{HEADER}{'20,-7.5,100'.rjust(200)}\n" * 50 + "9,1,300\n", 300, 9, 1),
        ("time/fps\n5\n", 0, 0, None),
    ],
    ids=["empty", "header", "row", "rows", "half a row", "no score", "long", "other columns"],
)
def test_progress_is_that_of_the_last_whole_row(
    tmp_path: Path, text: str, steps: int, rate: float, score: float | None
) -> None:
    write_progress(tmp_path, text)
    progress = RunProgress(job(tmp_path))
    progress.update()
    assert (progress.steps, progress.steps_per_second, progress.score) == (steps, rate, score)


def test_state_and_seconds_left_are_those_of_a_registered_process(tmp_path: Path) -> None:
    write_progress(tmp_path, f"{HEADER}20,-7.5,100\n")
    progress = RunProgress(job(tmp_path))
    progress.update()
    assert (progress.state, progress.seconds_left) == ("waiting", None)
    process = SuiteFolder(tmp_path).process(taxi())
    process.parent.mkdir()
    process.write_text("{}")
    progress.update()
    assert (progress.state, progress.seconds_left) == ("running", 15.0)  # 300 steps at 20 per s


def test_trained_run_with_a_process_is_being_evaluated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    progress = RunProgress(job(tmp_path))
    process = SuiteFolder(tmp_path).process(taxi())
    process.parent.mkdir()
    process.write_text("{}")
    monkeypatch.setattr(SuiteFolder, "is_trained", lambda *_: True)
    progress.update()
    assert (progress.state, progress.steps) == ("evaluating", 400)


def with_progress(folder: Path) -> SuiteRunner:
    """Return a runner of four runs, two of them running at 20 steps per second."""
    runner = runner_of(folder, ScriptedCluster(), (1, 2, 3, 4))
    for run, state in zip(runner.runs, ("running", "running", "waiting", "failed"), strict=True):
        run.state = state
    for run in runner.runs[:2]:
        run.steps, run.steps_per_second, run.score = 100, 20.0, -7.5
    return runner


def test_summary_estimates_the_time_left_on_all_slots(tmp_path: Path) -> None:
    # 300 + 300 + 400 steps at 20 per second, two at once
    expected = "0 of 4 finished, 2 running, 1 waiting, 1 failed, about 00:25 left"
    assert with_progress(tmp_path).summary() == expected


def test_summary_without_rates_has_no_time_left(tmp_path: Path) -> None:
    runner = runner_of(tmp_path, ScriptedCluster(), (1, 2))
    assert runner.summary() == "0 of 2 finished, 0 running, 2 waiting"


def text_of(runner: SuiteRunner, height: int) -> str:
    console = Console(width=120)
    with console.capture() as captured:
        console.print(runner.table(height))
    return captured.get()


def test_table_has_a_line_per_run(tmp_path: Path) -> None:
    text = text_of(with_progress(tmp_path), height=24)
    for seed in (1, 2, 3, 4):
        assert f"q_learning Taxi-v4 seed {seed}" in text
    (line,) = (line for line in text.splitlines() if "seed 2" in line)
    assert line.split()[4:] == ["running", "100", "of", "400", "20", "-7.5", "00:15"]


def test_table_on_a_small_terminal_has_the_runs_in_progress(tmp_path: Path) -> None:
    text = text_of(with_progress(tmp_path), height=6)
    assert "seed 1" in text
    assert "seed 3" not in text
    assert "2 running, 1 waiting" in text
