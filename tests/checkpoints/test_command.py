"""``resume`` on the command line, and what ``train`` says of checkpoints."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from sb3_atari_course.__main__ import main
from sb3_atari_course.checkpoints.command import hint_at_unfinished
from sb3_atari_course.checkpoints.folder import CheckpointFolder
from sb3_atari_course.checkpoints.manifest import Checkpoint
from tests.checkpoints.small import learn


def unfinished(run: Path, step: int, finished: bool = False) -> CheckpointFolder:
    folder = CheckpointFolder(run / "checkpoints")
    folder.path.mkdir(parents=True)
    state = folder.write_state(step, {})
    folder.write(Checkpoint(step, 1_000_000, finished, {}, state))
    return folder


def test_train_hints_at_what_is_unfinished(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    runs = tmp_path / "my logs" / "dqn"
    unfinished(runs / "Taxi-v4_1", 12_000)
    unfinished(runs / "Taxi-v4_2", 13_000, finished=True)
    used = unfinished(runs / "Taxi-v4_3", 14_000)
    unfinished(runs / "CartPole-v1_1", 15_000)
    (runs / "Taxi-v4_4").mkdir()
    used.lock()
    hint_at_unfinished(
        ["--algo", "dqn", "--env", "Taxi-v4", "-f", f"{tmp_path}/my logs", "-n", "5"]
    )
    used.unlock()
    assert capsys.readouterr().out == (
        f"{runs}/Taxi-v4_1 is unfinished (12,000 of 1,000,000 steps). To go on with it:"
        f" python -m sb3_atari_course resume '{runs}/Taxi-v4_1'\n"
    )
    hint_at_unfinished(["--algo", "ppo", "--log-folder", str(tmp_path)])
    assert capsys.readouterr().out == ""


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
            "error: no such run does not exist: nothing to resume there\n",
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
        ([], "does not know how its environment was made, which make_atari_env would have noted:"),
        (["-n", "40"], "is at step 40 already, 40 are asked for: to train longer ask for more"),
        (["-n", "0"], "n_timesteps must be at least 1, got 0"),
    ):
        with pytest.raises(SystemExit) as end:
            run_command(str(tmp_path), *arguments)
        assert end.value.code == 2
        assert message in capsys.readouterr().err
