"""Command ``resume``: the choice of the run, and flags."""

from __future__ import annotations

import os
from collections import OrderedDict
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch as th
import yaml
from rl_zoo3.exp_manager import ExperimentManager

from sb3_atari_course.checkpoints import resume
from sb3_atari_course.checkpoints.folder import Checkpoint, CheckpointFolder
from sb3_atari_course.zoo import resume_experiment
from tests.checkpoints.cartpole_trainings import cartpole, close, dqn, learn
from tests.zoo.runs import cli


def unfinished(
    run: Path, step: int, finished: bool = False, begun: dict[str, Any] | None = None
) -> CheckpointFolder:
    folder = CheckpointFolder(run / "checkpoints")
    folder.path.mkdir(parents=True)
    folder.write(Checkpoint(step, 1_000_000, finished, {}, begun=begun or {}), {})
    return folder


def test_run_of_a_script_prints_the_function_that_resumes_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    learn(tmp_path, steps=100, interrupt_at=60)
    for arguments, message in (
        ([], f"sb3_atari_course.resume({str(tmp_path)!r}, model)"),
        (["-n", "40"], "is already at step 40 of 40: to train longer pass"),
    ):
        assert cli("resume", str(tmp_path), *arguments) == 2
        assert message in capsys.readouterr().err


#: What RL Zoo's parser makes of `train --algo dqn --env CartPole-v1 ...`.
ARGUMENTS = {
    "algo": "dqn",
    "env": "CartPole-v1",
    "log_folder": "logs",
    "tensorboard_log": "",
    "eval_freq": -1,
    "eval_episodes": 5,
    "n_eval_envs": 1,
    "save_freq": -1,
    "seed": 1,
    "hyperparams": {"policy_kwargs": {"activation_fn": th.nn.Tanh}},
    "env_kwargs": {"crop": (30, 195, 5, 155)},
    "eval_env_kwargs": None,
    "trained_agent": "",
    "truncate_last_trajectory": True,
    "log_interval": -1,
    "save_replay_buffer": False,
    "verbose": 1,
    "vec_env": "dummy",
    "device": "auto",
    "conf_file": None,
    "progress": False,
    "gym_packages": [],
}


class Built(ExperimentManager):
    """Records its arguments, and ends the command."""

    kwargs: ClassVar[list[dict[str, Any]]] = []

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.kwargs.append({**kwargs, "n_threads": th.get_num_threads()})
        raise SystemExit(0)


def run_of_rl_zoo(run: Path) -> None:
    """Write a run folder of RL Zoo with an empty checkpoint."""
    begun = {
        "threads": 1,
        "every": 100,
        "native": False,
        "experiment": f"{__name__}.Built",
        "trained_agent": "",
    }
    unfinished(run, 12_000, begun=begun)
    (run / "CartPole-v1").mkdir()
    (run / "CartPole-v1" / "args.yml").write_text(yaml.dump(OrderedDict(ARGUMENTS)))
    Built.kwargs.clear()


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        ([], {"device": "auto", "show_progress": False, "n_threads": 1}),
        (
            ["-P", "--num-threads", "2", "--device", "cpu"],
            {"device": "cpu", "show_progress": True, "n_threads": 2},
        ),
    ],
)
def test_flags_override_the_settings_of_the_run(
    flags: list[str],
    expected: dict[str, Any],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    run_of_rl_zoo(tmp_path)
    assert cli("resume", str(tmp_path), *flags) == 0
    th.set_num_threads(1)
    expected |= {name: ARGUMENTS[name] for name in ("hyperparams", "env_kwargs", "seed")}
    assert {name: Built.kwargs[0][name] for name in expected} == expected
    assert str(tmp_path) in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "value"),
    [(None, "args.yml"), ("a: [", "args.yml"), ("a: !!python/name:no.such", "no.such")],
)
def test_error_names_unreadable_settings(
    text: str | None, value: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run_of_rl_zoo(tmp_path)
    file = tmp_path / "CartPole-v1" / "args.yml"
    if text is None:
        file.unlink()
    else:
        file.write_text(text)
    assert cli("resume", str(tmp_path)) == 2
    assert value in capsys.readouterr().err


def test_flags_select_the_latest_unfinished_run(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    resumed: list[Path] = []
    monkeypatch.setattr(
        resume_experiment, "resume_experiment", lambda run, **flags: resumed.append(run)
    )
    choice = ["resume", "--algo", "dqn", "--env", "ALE/Pong-v5", "-f", "my_logs"]
    runs = [Path(f"my_logs/dqn/ALE-Pong-v5_{number}") for number in (1, 2, 3, 4, 5)]
    for run in runs:
        run.mkdir(parents=True)
    assert cli(*choice) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "my_logs/dqn has no unfinished run of ALE/Pong-v5" in line
    for run, written in ((runs[0], 10), (runs[1], 30), (runs[2], 20)):
        folder = unfinished(run, 10)
        os.utime(next(folder.path.glob("*.npz")), (written, written))
    unfinished(runs[3], 1_000_000, finished=True)
    assert cli(*choice) == 0
    trains_now = CheckpointFolder(runs[1] / "checkpoints")
    trains_now.lock()
    assert cli(*choice) == 0
    trains_now.unlock()
    assert cli(*choice, "--exp-id", "4") == 0
    assert cli("resume", str(runs[0])) == 0
    assert resumed == [runs[1], runs[2], runs[3], runs[0]]


def test_shows_progress_of_restoring(tmp_path: Path, shown: list[str]) -> None:
    learn(tmp_path, steps=100, interrupt_at=60)
    model = dqn(cartpole(tmp_path, again=True))
    resume(tmp_path, model)
    close(model)
    assert shown == ["Reading the checkpoint", "Restoring the checkpoint"]
