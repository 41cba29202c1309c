"""Training in a separate process is stopped by signals, killed, and resumed."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from sb3_atari_course.checkpoints import resume
from sb3_atari_course.checkpoints.folder import CheckpointFolder
from tests.checkpoints.cartpole_trainings import assert_same_training, cartpole, dqn

pytestmark = pytest.mark.services

#: Trains slowly in the given folder, so that there is time for signals.
TRAINING = """
import sys, time
from pathlib import Path
from stable_baselines3.common.callbacks import ConvertCallback
from sb3_atari_course.checkpoints import ExactCheckpoint
from tests.checkpoints.cartpole_trainings import dqn, cartpole
import torch; torch.set_num_threads(1)
run, seconds = Path(sys.argv[1]), float(sys.argv[2])
slow = ConvertCallback(lambda *_: time.sleep(seconds) or True)
slow.is_stateless = True
own = ExactCheckpoint(40, folder=run)
model = dqn(cartpole(run))
model.learn(200, [slow, own])
print("the end", own.stop_signal, flush=True)
"""


def begin(run: Path, seconds: float) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", TRAINING, str(run), str(seconds)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def wait_for(run: Path, event: str, n: int) -> None:
    """Wait until the event log has the nth line of an event."""
    path = run / "checkpoints" / "log.jsonl"
    for _ in range(6000):
        lines = path.read_text().splitlines() if path.is_file() else []
        if sum(json.loads(line)["event"] == event for line in lines) >= n:
            return
        time.sleep(0.01)
    raise AssertionError(f"no {n} times {event}")


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the run folder of an uninterrupted training."""
    folder = tmp_path_factory.mktemp("uninterrupted")
    with begin(folder, 0) as child:
        out, err = child.communicate()
    assert (out, err) == ("the end None\n", "")
    return folder


def resume_run(run: Path) -> None:
    env = cartpole(run, again=True)
    resume(run, dqn(env)).logger.close()
    env.close()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signal_stops_a_process_with_a_checkpoint(
    number: int, uninterrupted: Path, tmp_path: Path
) -> None:
    with begin(tmp_path, 0.01) as child:
        wait_for(tmp_path, "written", 2)
        child.send_signal(number)
        out, err = child.communicate(timeout=60)
    step = CheckpointFolder(tmp_path / "checkpoints").newest().step
    assert 80 <= step < 200
    assert out == (
        f"Stopped at step {step}. To resume: sb3_atari_course.resume({str(tmp_path)!r}, ...)\n"
        f"the end {int(number)}\n"
    )
    name = signal.Signals(number).name
    assert err.startswith(f"\n{name}: stopping after this rollout")
    assert err.count("\n") == 2
    assert child.returncode == 0
    resume_run(tmp_path)
    assert_same_training(uninterrupted, tmp_path)


def test_second_signal_stops_immediately(uninterrupted: Path, tmp_path: Path) -> None:
    with begin(tmp_path, 0.5) as child:  # a rollout takes four steps
        time.sleep(0.1)
        wait_for_lock(tmp_path)
        child.send_signal(signal.SIGTERM)
        time.sleep(0.3)
        child.send_signal(signal.SIGTERM)
        _, err = child.communicate(timeout=60)
    assert err.startswith("\nSIGTERM: stopping")
    assert child.returncode == -signal.SIGTERM


def wait_for_lock(run: Path) -> None:
    for _ in range(6000):
        if (run / "checkpoints" / "lock").is_file():
            time.sleep(0.3)
            return
        time.sleep(0.01)
    raise AssertionError("training has not started")


def test_killed_process_releases_its_folder(uninterrupted: Path, tmp_path: Path) -> None:
    with begin(tmp_path, 0.01) as child:
        wait_for(tmp_path, "written", 2)
        assert CheckpointFolder(tmp_path / "checkpoints").is_used()
        child.kill()
    assert not CheckpointFolder(tmp_path / "checkpoints").is_used()
    resume_run(tmp_path)
    assert_same_training(uninterrupted, tmp_path)
