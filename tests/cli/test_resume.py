"""``resume`` on the command line."""

from __future__ import annotations

import sys
from collections import OrderedDict
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch as th
import yaml
from rl_zoo3.exp_manager import ExperimentManager

from sb3_atari_course.__main__ import main
from sb3_atari_course.checkpoints.folder import Checkpoint, CheckpointFolder
from tests.checkpoints.small import learn


def run_command(*arguments: str) -> None:
    sys.argv = ["sb3-atari", "resume", *arguments]
    main()


@pytest.fixture(autouse=True)
def _same_arguments(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", sys.argv)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["no such run"],
            "rl_zoo3.train -i MODEL.zip\n",
        ),
        ([], "the following arguments are required: RUN_DIR\n"),
        (["a", "-n", "many"], "argument -n/--n-timesteps: invalid int value: 'many'\n"),
        (["a", "b"], "unrecognized arguments: b\n"),
    ],
)
def test_a_wrong_argument_is_one_clear_line(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as end:
        run_command(*arguments)
    assert end.value.code == 2
    assert capsys.readouterr().err.endswith(message)


def test_a_run_of_a_script_says_what_to_do(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    learn(tmp_path, steps=100, cut=60)
    for arguments, message in (
        ([], f"sb3_atari_course.resume({str(tmp_path)!r}, model)"),
        (["-n", "40"], "is at step 40 already, 40 are asked for: to train longer ask for more"),
        (["-n", "0"], "n_timesteps must be at least 1, got 0"),
    ):
        with pytest.raises(SystemExit) as end:
            run_command(str(tmp_path), *arguments)
        assert end.value.code == 2
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
    """Notes what it is built from, and ends the command."""

    kwargs: ClassVar[list[dict[str, Any]]] = []

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.kwargs.append({**kwargs, "n_threads": th.get_num_threads()})
        raise SystemExit(0)


def run_of_rl_zoo(run: Path) -> None:
    """Write a run folder of RL Zoo with a checkpoint of nothing."""
    folder = CheckpointFolder(run / "checkpoints")
    folder.path.mkdir(parents=True)
    begun = {
        "threads": 1,
        "every": 100,
        "native": False,
        "experiment": f"{__name__}.Built",
        "trained_agent": "",
    }
    state = folder.write_state(12_000, {})
    folder.write(Checkpoint(12_000, 1_000_000, False, {}, state, begun=begun))
    (run / "CartPole-v1").mkdir()
    (run / "CartPole-v1" / "args.yml").write_text(yaml.dump(OrderedDict(ARGUMENTS)))
    Built.kwargs.clear()


def test_a_run_of_rl_zoo_is_resumed_as_it_began(tmp_path: Path) -> None:
    run_of_rl_zoo(tmp_path)
    with pytest.raises(SystemExit):
        run_command(str(tmp_path))
    expected = {"device": "auto", "show_progress": False, "n_threads": 1}
    expected |= {name: ARGUMENTS[name] for name in ("hyperparams", "env_kwargs", "seed")}
    assert {name: Built.kwargs[0][name] for name in expected} == expected


def test_flags_of_resume_take_the_place_of_those_of_the_beginning(
    tmp_path: Path,
) -> None:
    run_of_rl_zoo(tmp_path)
    with pytest.raises(SystemExit):
        run_command(str(tmp_path), "-P", "--num-threads", "2", "--device", "cpu")
    th.set_num_threads(1)
    expected = {"device": "cpu", "show_progress": True, "n_threads": 2}
    assert {name: Built.kwargs[0][name] for name in expected} == expected


@pytest.mark.parametrize(
    ("text", "value"),
    [(None, "args.yml"), ("a: [", "args.yml"), ("a: !!python/name:no.such", "no.such")],
)
def test_settings_that_cannot_be_read_are_named(
    text: str | None, value: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run_of_rl_zoo(tmp_path)
    file = tmp_path / "CartPole-v1" / "args.yml"
    if text is None:
        file.unlink()
    else:
        file.write_text(text)
    with pytest.raises(SystemExit) as end:
        run_command(str(tmp_path))
    assert end.value.code == 2
    assert value in capsys.readouterr().err.splitlines()[-1]


@pytest.mark.parametrize(
    ("flags", "value"),
    [(["--num-threads", "0"], "0"), (["--device", "banana"], "banana")],
)
def test_a_wrong_flag_is_refused_before_anything_is_touched(
    flags: list[str], value: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run_of_rl_zoo(tmp_path)
    with pytest.raises(SystemExit) as end:
        run_command(str(tmp_path), *flags)
    assert end.value.code == 2
    assert value in capsys.readouterr().err.splitlines()[-1]
