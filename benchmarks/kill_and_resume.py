"""Exact resume under SIGKILL: a killed and resumed run must end like an uninterrupted one.

Run:  python benchmarks/kill_and_resume.py [--taxi] [--steps N] [--kills N]     (6 minutes)

A short training of DQN on Breakout (settings of ``hyperparams/dqn_laptop.yml``, with gradient
steps, life losses and evaluations), once uninterrupted and once killed by SIGKILL at random times
and resumed each time. Every second kill is aimed at the writing of a checkpoint, at a random time
after its start; whether it hit is read from the log. With ``--taxi``: tabular Q-learning on Taxi.

The uninterrupted training writes a single checkpoint, at its end, so that side effects of writing
checkpoints would be detected too.

The last line is JSON: ``kills``, ``kills_inside_a_write``, ``bytes_differing`` (weights, optimizer
and replay buffer in the last checkpoint), ``memory_rows_differing`` (rows of the replay buffer in
RAM at the end), ``monitor_rows_differing`` (columns r and l), ``log_rows_differing``
(``progress.csv`` without times), ``states_differing`` (everything else in the last checkpoint:
counters, random states, environments, callbacks), ``checkpoint_share_of_time`` (seconds in the
checkpoint code divided by the wall-clock time between checkpoints).

``--forget GENERATOR`` does not restore one random generator on resume: bytes must differ then.
"""

from __future__ import annotations

import argparse
import itertools
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
from functools import partial
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))  # for `python benchmarks/kill_and_resume.py`
from benchmarks.run_differences import (
    compare_runs,
    differing_row_hashes,
    newest,
    save_row_hashes,
    spaces_of,
)
from sb3_atari_course import wrap_atari
from sb3_atari_course.checkpoints import snapshot
from sb3_atari_course.checkpoints.folder import FOLDER, CheckpointFolder
from sb3_atari_course.replay import FrameReplayBuffer

#: Global random generators that ``--forget`` can leave unrestored.
GENERATORS = ("python", "numpy", "torch")


def command(game: str, steps: int, every: int) -> list[str]:
    """Return the arguments of ``train``."""
    common = ["-n", str(steps), "--checkpoint-freq", str(every), "--seed", "1", "--verbose", "0"]
    common += ["--num-threads", "1", "--eval-freq", str(steps // 4), "--eval-episodes", "2"]
    if game == "taxi":
        return ["--algo", "q_learning", "--env", "Taxi-v4", *common]
    conf = Path(__file__).parents[1] / "hyperparams" / "dqn_laptop.yml"
    settings = [f"learning_starts:{steps // 10}", f"buffer_size:{steps // 2}"]
    return [
        *("--algo", "dqn", "--env", "BreakoutNoFrameskip-v4", "-conf", str(conf)),
        *common,
        *("-params", *settings, "exploration_fraction:0.5"),
    ]


def start(forget: str | None, *arguments: str) -> subprocess.Popen[bytes]:
    """Start a command of this package in a child process."""
    child = [sys.executable, "-m", "benchmarks.kill_and_resume", "--child", forget or "none"]
    return subprocess.Popen(
        [*child, *arguments],
        cwd=Path(__file__).parents[1],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )


def run_child(forget: str, arguments: list[str]) -> None:
    """Run a command in the child process, without restoring the random generator ``forget``."""
    from sb3_atari_course.__main__ import main
    from sb3_atari_course.zoo.experiment import CourseExperimentManager

    if forget != "none":
        original = snapshot.write_global_streams

        def without_one(state: dict[str, Any]) -> None:
            original({**state, forget: snapshot.read_global_streams()[forget]})

        snapshot.write_global_streams = without_one
    save = CourseExperimentManager.save_trained_model

    def hash_and_save(experiment: CourseExperimentManager, model: Any) -> None:
        run = Path(experiment.save_path)
        save_row_hashes(run, getattr(model, "replay_buffer", None))
        save(experiment, model)

    setattr(CourseExperimentManager, "save_trained_model", hash_and_save)  # noqa: B010
    sys.argv = ["sb3-atari", *arguments]
    main()


class Killer:
    """Killer of training processes, guided by the checkpoint log of a run.

    :param run: run folder.
    :param rng: generator of random delays.
    """

    def __init__(self, run: Path, rng: random.Random) -> None:
        self.run, self.rng = run, rng
        self.log = run / FOLDER / "log.jsonl"
        self.n_inside = 0

    def kill(self, process: subprocess.Popen[bytes], *, after: int, aimed: bool) -> bool:
        """Send SIGKILL at a random time after an agent step; return whether the process still ran.

        :param process: the process that trains.
        :param after: agent step.
        :param aimed: kill while a checkpoint is being written, otherwise at any time.
        """
        done = len(self._events())
        while process.poll() is None:
            events = self._events()
            passed = [one["step"] for one in events[done:] if one["event"] in ("resumed", "write")]
            if passed and passed[-1] >= after and (not aimed or events[-1]["event"] == "write"):
                break
            time.sleep(0.0002 if aimed else 0.01)
        time.sleep(self.rng.uniform(0, self._in_write() if aimed else self._between_writes()))
        if process.poll() is not None:
            return False
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        inside = self._events()[-1]["event"] == "write"
        self.n_inside += inside
        return True

    def _between_writes(self) -> float:
        times = [one["time"] for one in self._events() if one["event"] == "written"]
        return float(times[-1] - times[-2]) if len(times) > 1 else 1.0

    def _in_write(self) -> float:
        seconds = [one["seconds"] for one in self._events() if one["event"] == "written"]
        return 0.8 * statistics.median(seconds) if seconds else 0.01

    def _events(self) -> list[dict[str, Any]]:
        if not self.log.exists():
            return []
        return CheckpointFolder(self.log.parent).events()


def train_uninterrupted(game: str, arguments: list[str], folder: Path) -> Path:
    """Train without kills; return the run folder."""
    print("training without kills", file=sys.stderr, flush=True)
    process = start(None, "train", *arguments, "-f", str(folder))
    _, errors = process.communicate()
    if process.returncode:
        raise RuntimeError(errors.decode())
    return _run_of(game, folder)


def train_with_kills(
    game: str, arguments: list[str], folder: Path, *, steps: int, kills: int, forget: str | None
) -> tuple[Path, int, int]:
    """Train with kills; return the run folder, the number of kills, and of those inside a write."""
    rng = random.Random(kills)
    run = _run_of(game, folder)
    killer, n_kills = Killer(run, rng), 0
    moments = sorted(rng.uniform(0.05, 0.9) * steps for _ in range(kills))
    process = start(forget, "train", *arguments, "-f", str(folder))
    for i, moment in enumerate(moments):
        print(f"kill {i + 1} of {kills}", file=sys.stderr, flush=True)
        n_kills += killer.kill(process, after=int(moment), aimed=i % 2 == 1)
        if process.returncode != -signal.SIGKILL:
            break
        process = start(forget, "resume", str(run))
    _, errors = process.communicate()
    if process.returncode:
        raise RuntimeError(errors.decode())
    return run, n_kills, killer.n_inside


def share_of_time(run: Path) -> float:
    """Return the checkpoint time divided by the time between checkpoints."""
    events = CheckpointFolder(run / FOLDER).events()
    written = [(i, one) for i, one in enumerate(events) if one["event"] == "written"]
    # no kill between
    pairs = [(a, b) for (i, a), (j, b) in itertools.pairwise(written) if j == i + 2]
    inside = sum(b["seconds"] for _, b in pairs)
    return float(inside / sum(b["time"] - a["time"] for a, b in pairs))


def _run_of(game: str, folder: Path) -> Path:
    name = "q_learning/Taxi-v4_1" if game == "taxi" else "dqn/BreakoutNoFrameskip-v4_1"
    return folder / name


def breakout_buffer(run: Path) -> FrameReplayBuffer:
    """Return an empty replay buffer with the settings of a run of ``dqn_laptop.yml``."""
    buffer = newest(run).facts["buffer"]
    wrapper = partial(wrap_atari, shape=(42, 42), n_stack=4)
    observation_space, action_space = spaces_of("BreakoutNoFrameskip-v4", wrapper)
    return FrameReplayBuffer(buffer["n_rows"], observation_space, action_space)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--taxi", action="store_true", help="tabular Q-learning on Taxi")
    parser.add_argument("--steps", type=int, help="agent steps (20,000; with --taxi 3,000,000)")
    parser.add_argument("--every", type=int, help="steps between two checkpoints (steps / 40)")
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument(
        "--forget", choices=GENERATORS, help="random generator not to restore on resume"
    )
    given = parser.parse_args()
    game = "taxi" if given.taxi else "breakout"
    buffer_of = (lambda _: None) if given.taxi else breakout_buffer
    steps = given.steps or (3_000_000 if given.taxi else 20_000)
    arguments = command(game, steps, given.every or steps // 40)
    folder = Path(tempfile.mkdtemp(prefix="kill_and_resume_"))
    try:
        one_checkpoint = command(game, steps, 10 * steps)  # at the end
        uninterrupted = train_uninterrupted(game, one_checkpoint, folder / "uninterrupted")
        killed, n_kills, n_inside = train_with_kills(
            game, arguments, folder / "kills", steps=steps, kills=given.kills, forget=given.forget
        )
        result = {
            "game": game,
            "steps": steps,
            "kills": n_kills,
            "kills_inside_a_write": n_inside,
            **compare_runs(uninterrupted, killed, empty_buffer=buffer_of),
            "memory_rows_differing": differing_row_hashes(uninterrupted, killed),
            "checkpoint_share_of_time": round(share_of_time(killed), 4),
        }
    finally:
        shutil.rmtree(folder)
    for name, value in result.items():
        print(f"{name:30} {value}")
    print(json.dumps(result))


if __name__ == "__main__":
    if sys.argv[1:2] == ["--child"]:
        run_child(sys.argv[2], sys.argv[3:])
    else:
        main()
