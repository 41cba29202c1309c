"""Command line: one line and exit status 2 for an invalid argument, without a traceback."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from collections.abc import Callable, Sequence

import numpy as np
import pytest

from sb3_atari_course.__main__ import COMMANDS
from sb3_atari_course._common.validation import integer_at_least
from sb3_atari_course.cli import evaluate
from tests.zoo.runs import ROOT, cli


def test_unknown_command_lists_all_commands(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert cli("dance") == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "'dance'" in line
    assert ", ".join(COMMANDS) in line


def _bug_below_numpy() -> None:
    np.zeros(-1)  # type: ignore[arg-type]  # a ValueError of NumPy


def _bug_of_ours() -> None:
    integer_at_least("1", "n", 2)  # type: ignore[arg-type]  # a TypeError in a line of ours


def _pipe_of_a_subprocess() -> None:
    raise BrokenPipeError


@pytest.mark.parametrize(
    ("bug", "error"),
    [
        (_bug_below_numpy, ValueError),
        (_bug_of_ours, TypeError),
        (_pipe_of_a_subprocess, BrokenPipeError),
    ],
)
def test_unexpected_error_keeps_its_traceback(
    bug: Callable[[], None], error: type[Exception], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(evaluate, "main", lambda arguments: bug())
    with pytest.raises(error):
        cli("evaluate")


def test_unwritable_folder_prints_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def read_only(arguments: Sequence[str]) -> None:
        raise PermissionError(errno.EACCES, "Permission denied", "logs/dqn")

    monkeypatch.setattr(evaluate, "main", read_only)
    assert cli("evaluate") == 2
    assert capsys.readouterr().err == "sb3-atari: error: logs/dqn: Permission denied\n"


@pytest.mark.process
@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_closed_pipe_is_not_an_error(unbuffered: str) -> None:
    """As ``--help | head`` does."""
    read_end, write_end = os.pipe()
    os.close(read_end)
    done = subprocess.run(
        [sys.executable, "-m", "sb3_atari_course", "--help"],
        env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": unbuffered},
        stdout=write_end,
        stderr=subprocess.PIPE,
        text=True,
    )
    os.close(write_end)
    assert (done.returncode, done.stderr) == (0, "")


def test_environment_variable_shows_the_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SB3_ATARI_TRACEBACK", "1")
    with pytest.raises(ValueError, match="unknown algo"):
        cli("evaluate", "--algo", "dqm", "--env", "CartPole-v1")


def test_ctrl_c_prints_no_traceback(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(arguments: Sequence[str]) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(evaluate, "main", interrupted)
    assert cli("evaluate") == 130
    assert capsys.readouterr().err == "interrupted\n"


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli(command, "--help") == 0
    assert f"usage: sb3-atari {command} " in capsys.readouterr().out


def test_help_and_argument_errors_do_not_import_pytorch() -> None:
    """PyTorch and RL Zoo take seconds to import."""
    code = (
        "import contextlib, sys\n"
        "from sb3_atari_course.__main__ import main\n"
        "def run(*arguments):\n"
        "    sys.argv = ['sb3-atari', *arguments]\n"
        "    try: main()\n"
        "    except SystemExit as end: return end.code or 0\n"
        "    return 0\n"
        "assert run('--help') == run('--version') == 0\n"
        "for command in 'evaluate', 'plot', 'tune', 'publish', 'check', 'student', 'resume':\n"
        "    assert run(command, '--help') == 0\n"
        "    assert run(command) == run(command, '--nonsense') == 2\n"
        "    assert run(command, 'nowhere', '--seed', 'many') == 2\n"
        "slow = {'torch', 'gymnasium', 'rl_zoo3', 'stable_baselines3'} & set(sys.modules)\n"
        "assert not slow, slow\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "commands:" in done.stdout
