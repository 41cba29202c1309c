"""Whether a training that is killed again and again ends as if nobody had touched it.

Run:  python benchmarks/kill_and_resume.py [--taxi] [--steps N] [--kills N]     (6 minutes)

A small real training of DQN on Breakout (the settings of ``hyperparams/dqn_laptop.yml``, learning,
through game overs and evaluations), once in peace and once SIGKILLed at random moments and resumed
each time. Every second kill is aimed at the writing of a checkpoint, at a random moment after its
beginning; whether it hit is read from the log. With ``--taxi`` Q-learning with a table on Taxi.

The training in peace writes one checkpoint, at its end: what a writing might do beside is seen too.

One line of JSON: ``kills``, ``kills_inside_a_write``, ``bytes_differing`` (weights, optimiser and
replay memory in the last checkpoint), ``memory_rows_differing`` (of the memory as the process had
it at the end), ``monitor_rows_differing`` (columns r and l), ``log_rows_differing``
(``progress.csv`` but for its times), ``states_differing`` (everything else in the last checkpoint:
counters, random streams, environments, callbacks), ``checkpoint_share_of_time`` (seconds inside the
checkpoint code, of the wall-clock from one checkpoint to the next).

``--forget STREAM`` leaves one random stream where it is on resume, and must make bytes differ.
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
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))  # for `python benchmarks/kill_and_resume.py`
from benchmarks.run_differences import (
    count_differences,
    count_differing_bytes,
    differing_rows,
    live_rows_differing,
    memory_arrays,
    newest,
    note_live_memory,
    other_numbers,
    spaces_of,
    weights_and_optimizer,
)
from sb3_atari_course.checkpoints import snapshot
from sb3_atari_course.checkpoints.folder import FOLDER, CheckpointFolder
from sb3_atari_course.replay import FrameReplayBuffer

#: Random streams that ``--forget`` can leave as a new process has them.
STREAMS = ("python", "numpy", "torch")


def command(game: str, steps: int, every: int) -> list[str]:
    """Return the arguments of the training."""
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
    """Start a command of ours in a process of its own."""
    child = [sys.executable, "-m", "benchmarks.kill_and_resume", "--child", forget or "none"]
    return subprocess.Popen(
        [*child, *arguments],
        cwd=Path(__file__).parents[1],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )


def run_child(forget: str, arguments: list[str]) -> None:
    """Be that process: run the command, without one of the streams if asked to."""
    from sb3_atari_course.__main__ import main
    from sb3_atari_course.zoo.experiment import CourseExperimentManager

    if forget != "none":
        original = snapshot.write_global_streams

        def without_one(state: dict[str, Any]) -> None:
            original({**state, forget: snapshot.read_global_streams()[forget]})

        snapshot.write_global_streams = without_one
    save = CourseExperimentManager.save_trained_model

    def note_and_save(experiment: CourseExperimentManager, model: Any) -> None:
        run = Path(experiment.save_path)
        note_live_memory(run, getattr(model, "replay_buffer", None))
        save(experiment, model)

    setattr(CourseExperimentManager, "save_trained_model", note_and_save)  # noqa: B010
    sys.argv = ["sb3-atari", *arguments]
    main()


class Killer:
    """Kills a training again and again.

    :param run: its run folder.
    """

    def __init__(self, run: Path, rng: random.Random) -> None:
        self.run, self.rng = run, rng
        self.log = run / FOLDER / "log.jsonl"
        self.n_inside = 0

    def kill(self, process: subprocess.Popen[bytes], *, after: int, aimed: bool) -> bool:
        """SIGKILL the process some time after it has passed a step; tell if it still ran.

        :param aimed: while it writes a checkpoint; otherwise at any moment.
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


def train_in_peace(game: str, arguments: list[str], folder: Path) -> Path:
    """Train without a kill; return the run folder."""
    print("training without a kill", file=sys.stderr, flush=True)
    process = start(None, "train", *arguments, "-f", str(folder))
    _, errors = process.communicate()
    if process.returncode:
        raise RuntimeError(errors.decode())
    return _run_of(game, folder)


def train_with_kills(
    game: str, arguments: list[str], folder: Path, *, steps: int, kills: int, forget: str | None
) -> tuple[Path, int, int]:
    """Train with kills; return the run folder, and the kills: all, and those inside a write."""
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


def compare(game: str, peaceful: Path, killed: Path) -> dict[str, int]:
    """Return what differs at the end."""
    parameters = [weights_and_optimizer(run) for run in (peaceful, killed)]
    n_bytes, places = count_differences(*parameters)
    memories = [memory_arrays(run, _buffer(game, run)) for run in (peaceful, killed)]
    n_bytes += sum(count_differing_bytes(a, b) for a, b in zip(*memories, strict=True))
    _, others = count_differences(*(other_numbers(run) for run in (peaceful, killed)))
    for place in [*places, *others][:20]:
        print(f"differs: {place}")
    return {
        "bytes_differing": n_bytes,
        "memory_rows_differing": live_rows_differing(peaceful, killed),
        "monitor_rows_differing": differing_rows(peaceful, killed, "*.monitor.csv"),
        "log_rows_differing": differing_rows(peaceful, killed, "progress.csv"),
        "states_differing": len(others),
    }


def share_of_time(run: Path) -> float:
    """Return the part of the time from one checkpoint to the next that was spent on it."""
    events = CheckpointFolder(run / FOLDER).events()
    written = [(i, one) for i, one in enumerate(events) if one["event"] == "written"]
    pairs = [(a, b) for (i, a), (j, b) in itertools.pairwise(written) if j == i + 2]  # no kill
    inside = sum(b["seconds"] for _, b in pairs)
    return float(inside / sum(b["time"] - a["time"] for a, b in pairs))


def _run_of(game: str, folder: Path) -> Path:
    name = "q_learning/Taxi-v4_1" if game == "taxi" else "dqn/BreakoutNoFrameskip-v4_1"
    return folder / name


def _buffer(game: str, run: Path) -> FrameReplayBuffer | None:
    if game == "taxi":
        return None
    memory = newest(run).facts["buffer"]
    from functools import partial

    from sb3_atari_course import wrap_atari

    wrapper = partial(wrap_atari, shape=(42, 42), n_stack=4)
    seen, actions = spaces_of("BreakoutNoFrameskip-v4", wrapper)
    return FrameReplayBuffer(memory["n_rows"], seen, actions)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--taxi", action="store_true", help="Q-learning on Taxi")
    parser.add_argument("--steps", type=int, help="agent steps (20,000; with --taxi 3,000,000)")
    parser.add_argument("--every", type=int, help="steps between two checkpoints (steps / 40)")
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--forget", choices=STREAMS, help="leave this stream where it is on resume")
    given = parser.parse_args()
    game = "taxi" if given.taxi else "breakout"
    steps = given.steps or (3_000_000 if given.taxi else 20_000)
    arguments = command(game, steps, given.every or steps // 40)
    folder = Path(tempfile.mkdtemp(prefix="kill_and_resume_"))
    try:
        in_peace = command(game, steps, 10 * steps)  # one checkpoint, at the end
        peaceful = train_in_peace(game, in_peace, folder / "peace")
        killed, n_kills, n_inside = train_with_kills(
            game, arguments, folder / "kills", steps=steps, kills=given.kills, forget=given.forget
        )
        result = {
            "game": game,
            "steps": steps,
            "kills": n_kills,
            "kills_inside_a_write": n_inside,
            **compare(game, peaceful, killed),
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
