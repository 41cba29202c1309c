"""Fault tolerance of suites: runs, a node and the driver are killed; all runs must end as if alone.

Run:  python benchmarks/suite_survives.py [--quick]   (5 minutes; needs the extra "cluster")

A suite of 6 runs, DQN on Breakout (settings of ``hyperparams/dqn_laptop.yml``) and tabular
Q-learning on Taxi, with three seeds each, on a Ray cluster of two nodes with 2 CPUs on this
machine. Processes are killed by SIGKILL in the middle of their runs: five workers, two of them
while they write a checkpoint; one node with all its processes, which is not replaced; and the
command ``suite`` itself, which is started again. Then each run is trained alone by the command
``train``, with a single checkpoint at its end, two at a time.

The last line is JSON: ``runs``, ``finished`` (trained and evaluated), ``kills`` (workers whose run
was resumed from a checkpoint), ``kills_inside_a_write``, ``node_kills``, ``driver_kills``,
``duplicates`` (trainings beyond those that the kills require, run folders beyond the 6, and runs
that had finished before the driver's death and were written again), ``bytes_differing`` (weights,
optimizer and replay buffer in the last checkpoint, and the final model), ``monitor_rows_differing``
(columns r and l), ``log_rows_differing`` (``progress.csv`` without times), ``states_differing``
(everything else in the last checkpoint), ``seconds``.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

sys.path.insert(0, str(Path(__file__).parents[1]))  # for `python benchmarks/suite_survives.py`
from benchmarks.kill_and_resume import breakout_buffer
from benchmarks.ray_cluster import RayCluster, ray_cluster
from benchmarks.run_differences import compare_runs, count_differences, saved_model
from sb3_atari_course.checkpoints.folder import FOLDER, CheckpointFolder
from sb3_atari_course.replay import FrameReplayBuffer
from sb3_atari_course.suite.suite_file import RunSettings, SuiteSettings
from sb3_atari_course.suite.suite_folder import SuiteFolder

#: What is killed, in this order, at equal distances of the progress of the suite.
WORKER, WRITING_WORKER, NODE, DRIVER = "worker", "worker that writes", "node", "driver"
PLAN = (WORKER, WRITING_WORKER, WORKER, NODE, WRITING_WORKER, DRIVER, WORKER)

#: Agent steps of Taxi for each of Breakout, which takes about as long.
TAXI_STEPS = 100


def write_suite(path: Path, *, steps: int, n_seeds: int) -> None:
    """Write the suite file."""
    path.write_text(f"""
seeds: {list(range(1, n_seeds + 1))}
runs:
  - algos: [dqn]
    envs: [BreakoutNoFrameskip-v4]
    conf_file: sb3_atari_course.hyperparams.dqn_laptop
    n_timesteps: {steps}
    params:
      learning_starts: {steps // 10}
      buffer_size: {steps // 2}
      exploration_fraction: 0.5
  - algos: [q_learning]
    envs: [Taxi-v4]
    n_timesteps: {TAXI_STEPS * steps}
evaluation:
  n_games: 2
""")


@dataclass(frozen=True)
class Kill:
    """A process of a run that was killed.

    :param run: its run.
    :param what: of the plan.
    :param time: Unix time.
    """

    run: RunSettings
    what: str
    time: float


class Killer:
    """Kills processes of a suite in the middle of their runs.

    :param cluster: where the suite runs.
    :param nodes: of the cluster, without its head.
    :param folder: of the suite.
    """

    def __init__(
        self, cluster: RayCluster, nodes: Sequence[subprocess.Popen[bytes]], folder: SuiteFolder
    ) -> None:
        self.kills: list[Kill] = []
        self._rng = random.Random(0)
        self._cluster, self._nodes, self._folder = cluster, list(nodes), folder

    def progress(self) -> float:
        """Return the progress of all runs up to their newest checkpoints, from 0 to 1."""
        settings = self._folder.settings()
        runs = () if settings is None else settings.runs
        newest = [(run, CheckpointFolder(self._folder.run(run) / FOLDER).peek()) for run in runs]
        parts = [one.step / run.n_timesteps if one else 0.0 for run, one in newest]
        return min(1.0, sum(parts) / max(len(parts), 1))

    def kill(self, what: str, driver: subprocess.Popen[bytes]) -> bool:
        """Kill as planned, if a suitable run is in progress; return whether it was done."""
        active = self._in_progress()
        if not active:
            return False
        run, pid = self._rng.choice(active)
        if what == WRITING_WORKER and not self._wait_for_write(run):
            return False
        if what in (WORKER, WRITING_WORKER):
            return self._kill_worker(run, pid, what)
        victims = self._registered()
        if what == DRIVER:
            driver.kill()
            driver.wait()
        else:
            node = self._node_of(pid)
            if node is None:
                return False
            victims = [(run, one) for run, one in victims if self._node_of(one["pid"]) is node]
            self._cluster.kill_node(node)
            self._nodes.remove(node)
        self.kills += [Kill(run, what, time.time()) for run, _ in victims]
        return True

    def _in_progress(self) -> list[tuple[RunSettings, int]]:
        """Return the runs that can be killed in their middle, and their process ids."""
        found = []
        for run, process in self._registered():
            events = self._events(run)
            if not events or events[-1]["time"] < process["started"]:
                continue  # not training yet
            has_checkpoint = any(one["event"] == "written" for one in events)
            if has_checkpoint and events[-1]["step"] < 0.9 * run.n_timesteps:
                found.append((run, process["pid"]))
        return found

    def _registered(self) -> list[tuple[RunSettings, dict[str, Any]]]:
        settings = self._folder.settings()
        runs = () if settings is None else settings.runs
        processes = [(run, self._process(run)) for run in runs]
        return [(run, process) for run, process in processes if process is not None]

    def _kill_worker(self, run: RunSettings, pid: int, what: str) -> bool:
        process = self._process(run)
        if process is None or process["pid"] != pid:
            return False
        os.kill(pid, signal.SIGKILL)
        self.kills.append(Kill(run, what, time.time()))
        return True

    def _wait_for_write(self, run: RunSettings) -> bool:
        """Wait for a random time after the start of the next write; return whether one started."""
        n, deadline = len(self._events(run)), time.monotonic() + 60
        while not any(one["event"] == "write" for one in self._events(run)[n:][-1:]):
            if self._process(run) is None or time.monotonic() > deadline:
                return False
            time.sleep(0.0005)
        seconds = [one["seconds"] for one in self._events(run) if one["event"] == "written"]
        time.sleep(self._rng.uniform(0, 0.5 * statistics.median(seconds)))
        return True

    def _node_of(self, pid: int) -> subprocess.Popen[bytes] | None:
        try:
            parents = {parent.pid for parent in psutil.Process(pid).parents()}
        except psutil.NoSuchProcess:
            return None
        return next((node for node in self._nodes if node.pid in parents), None)

    def _process(self, run: RunSettings) -> dict[str, Any] | None:
        try:
            content: dict[str, Any] = json.loads(self._folder.process(run).read_text())
        except (OSError, ValueError):
            return None
        return content

    def _events(self, run: RunSettings) -> list[dict[str, Any]]:
        return CheckpointFolder(self._folder.run(run) / FOLDER).events()


def start(suite: Path, folder: Path, cluster: RayCluster, *, every: int) -> subprocess.Popen[bytes]:
    """Start the command ``suite``."""
    command = [sys.executable, "-m", "sb3_atari_course", "suite", str(suite), "-f", str(folder)]
    command += ["--address", cluster.address, "--checkpoint-freq", str(every)]
    with open(folder.with_suffix(".log"), "ab") as log:
        return subprocess.Popen(
            command,
            cwd=Path(__file__).parents[1],
            env={**os.environ, **cluster.environment},
            stdout=log,
            stderr=subprocess.STDOUT,
        )


def run_with_kills(
    folder: SuiteFolder, plan: Sequence[str], *, steps: int, n_seeds: int
) -> dict[str, Any]:
    """Run the suite with kills; return its part of the result."""
    suite = folder.path.with_suffix(".yml")
    write_suite(suite, steps=steps, n_seeds=n_seeds)
    finished_before: dict[Path, int] = {}
    with ray_cluster(0) as cluster:
        nodes = [cluster.add_node(n_cpus=2) for _ in range(2)]
        killer = Killer(cluster, nodes, folder)
        driver, done = start(suite, folder.path, cluster, every=steps // 20), list[str]()
        try:
            while driver.poll() is None:
                time.sleep(0.05)
                due = (len(done) + 1) / (len(plan) + 3)  # the last one well before the end
                if len(done) == len(plan) or killer.progress() < due:
                    continue
                what = plan[len(done)]
                if not killer.kill(what, driver):
                    continue
                done.append(what)
                print(f"{killer.progress():.0%}: {what} killed", file=sys.stderr, flush=True)
                if what == DRIVER:
                    finished_before = models_of(folder)
                    driver = start(suite, folder.path, cluster, every=steps // 20)
        finally:
            driver.kill()
            driver.wait()
    output = folder.path.with_suffix(".log").read_text()
    if driver.returncode:
        raise RuntimeError(f"suite exited with status {driver.returncode}: {output}")
    return summarize(folder, done, killer.kills, finished_before)


def summarize(
    folder: SuiteFolder,
    done: Sequence[str],
    kills: Sequence[Kill],
    finished: dict[Path, int],
) -> dict[str, Any]:
    """Count finished runs, kills and duplicates.

    :param finished: the models that were finished before the driver was killed.
    """
    settings = settings_of(folder)
    resumed = [kill for kill in kills if was_resumed(folder, kill)]
    now = models_of(folder)
    n_written_again = sum(now.get(path) != mtime for path, mtime in finished.items())
    n_folders = len({path for run in settings.runs for path in folder.run(run).parent.iterdir()})
    return {
        "runs": len(settings.runs),
        "finished": sum(
            folder.is_trained(run) and folder.is_evaluated(run, settings) for run in settings.runs
        ),
        "kills": sum(kill.what in (WORKER, WRITING_WORKER) for kill in resumed),
        "kills_inside_a_write": sum(
            kill.what == WRITING_WORKER and was_writing(folder, kill) for kill in resumed
        ),
        "node_kills": done.count(NODE),
        "driver_kills": done.count(DRIVER),
        "duplicates": n_unneeded_trainings(folder, kills)
        + n_written_again
        + n_folders
        - len(settings.runs),
    }


def was_resumed(folder: SuiteFolder, kill: Kill) -> bool:
    """Return whether the checkpoint log proves that a kill hit a training, which was resumed."""
    before, after = events_around(folder, kill)
    return bool(before) and after[:1] == ["resumed"]


def was_writing(folder: SuiteFolder, kill: Kill) -> bool:
    """Return whether a kill hit the writing of a checkpoint."""
    return events_around(folder, kill)[0][-1:] == ["write"]


def events_around(folder: SuiteFolder, kill: Kill) -> tuple[list[str], list[str]]:
    """Return the names of the events of the checkpoint log before and after a kill."""
    events = CheckpointFolder(folder.run(kill.run) / FOLDER).events()
    is_before = [one["time"] <= kill.time for one in events]
    names = [one["event"] for one in events]
    n = sum(is_before)
    return names[:n], names[n:]


def n_unneeded_trainings(folder: SuiteFolder, kills: Sequence[Kill]) -> int:
    """Return the number of trainings that started although their run had not been killed."""
    n_kills = Counter(kill.run.key for kill in kills)
    n_unneeded = 0
    for run in settings_of(folder).runs:
        log = folder.log(run).read_text(errors="replace")
        n_starts = log.count("\nLog path: ") + log.count("\nResumed at step ")
        n_unneeded += max(0, n_starts - 1 - n_kills[run.key])
    return n_unneeded


def models_of(folder: SuiteFolder) -> dict[Path, int]:
    """Return the final models of the finished runs, and when they were written."""
    settings = settings_of(folder)
    models = [folder.model(run) for run in settings.runs if folder.is_evaluated(run, settings)]
    return {path: path.stat().st_mtime_ns for path in models}


def settings_of(folder: SuiteFolder) -> SuiteSettings:
    """Return the settings of the suite."""
    settings = folder.settings()
    assert settings is not None
    return settings


def train_alone(folder: SuiteFolder, run: RunSettings, alone: SuiteFolder) -> None:
    """Train a run by the command ``train``, with a single checkpoint at its end."""
    command = [sys.executable, "-m", "sb3_atari_course", "train", "--algo", run.algo]
    command += ["--env", run.env_id, "--seed", str(run.seed), "--run-number", str(run.seed)]
    command += ["-conf", str(folder.yml(run)), "-f", str(alone.path), "--num-threads", "1"]
    command += ["--checkpoint-freq", str(10 * run.n_timesteps), "--device", "cpu"]
    root = Path(__file__).parents[1]
    done = subprocess.run([*command, "--eval-freq", "-1"], cwd=root, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(done.stdout + done.stderr)


def compare(folder: SuiteFolder, alone: SuiteFolder) -> dict[str, int]:
    """Train all runs alone, and count the differences to those of the suite."""
    runs = settings_of(folder).runs
    print("training the same runs alone", file=sys.stderr, flush=True)
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda run: train_alone(folder, run, alone), runs))
    total: Counter[str] = Counter()
    for run in runs:
        pair = (alone.run(run), folder.run(run))
        total.update(compare_runs(*pair, empty_buffer=empty_buffer))
        models = [saved_model(one.model(run)) for one in (alone, folder)]
        total["bytes_differing"] += count_differences(*models)[0]
    return dict(total)


def empty_buffer(run: Path) -> FrameReplayBuffer | None:
    """Return an empty replay buffer with the settings of a run; None for Q-learning."""
    return breakout_buffer(run) if run.parent.name == "dqn" else None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--steps", type=int, help="agent steps on Breakout (6,000)")
    parser.add_argument(
        "--quick", action="store_true", help="2 seeds, 800 steps, 4 kills: smoke test"
    )
    parser.add_argument("--keep", type=Path, help="empty folder for the runs (default: temporary)")
    args = parser.parse_args()
    steps = args.steps or (800 if args.quick else 6000)
    n_seeds = 2 if args.quick else 3
    plan = (WRITING_WORKER, NODE, DRIVER, WORKER) if args.quick else PLAN
    home = (args.keep or Path(tempfile.mkdtemp(prefix="suite_survives_"))).resolve()
    started = time.monotonic()
    try:
        home.mkdir(parents=True, exist_ok=True)
        folder = SuiteFolder(home / "suite")
        result = run_with_kills(folder, plan, steps=steps, n_seeds=n_seeds)
        result |= compare(folder, SuiteFolder(home / "alone"))
    finally:
        if args.keep is None:
            shutil.rmtree(home)
    result["seconds"] = round(time.monotonic() - started)
    for name, value in result.items():
        print(f"{name:25} {value}")
    print(json.dumps(result))


if __name__ == "__main__":
    main()
