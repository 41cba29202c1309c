"""Commands of README and documentation, as typed, with trainings cut to toy size.

The blocks of a page run in their order, in one folder that holds the hyperparameter files, agents
and lessons of a checkout. Our own commands run in this process, those of RL Zoo in new ones.
"""

from __future__ import annotations

import re
import shlex
import shutil
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from tests.docs.pages import ROOT, Block, all_blocks
from tests.zoo.runs import TOY, TOY_PARAMS, printed_by, python_m

PAGES = sorted({block.page for block in all_blocks("bash") if block.is_run})

#: Flags appended to a command, where the last one counts; those of a training are TOY.
SHORT = {
    "enjoy": ["-n", "60"],
    "record": ["-n", "60"],
    "record_video": ["-n", "60"],
    "record_training": ["-n", "60"],
    "evaluate": ["-n", "2"],
    "publish": ["-n", "2", "--selection-games", "2"],
    "resume": ["-n", "4000"],
    "tune": ["-n", "6000", "--n-trials", "2", "--n-games", "1", "--n-evaluations", "1"],
}


def commands_of(blocks: list[Block]) -> Iterator[list[str]]:
    """Yield the words of each command."""
    for block in blocks:
        for line in block.code.replace("\\\n", " ").splitlines():
            if words := shlex.split(line, comments=True):
                yield words


def shortened(module: str, arguments: list[str]) -> list[str]:
    """Return the arguments of a command cut to toy size."""
    name = module.removeprefix("rl_zoo3.")
    if name != "train":
        return [*arguments, *SHORT.get(name, [])]
    params: list[str] = []
    rest: list[str] = []
    is_param = False
    for word in arguments:
        is_param = word == "-params" or (is_param and not word.startswith("-"))
        (params if is_param else rest).append(word)
    params = [word for word in params if word != "-params"]
    if {"dqn", "fast_dqn", "qrdqn"} & set(rest):
        given = {param.partition(":")[0] for param in params}
        toy = [*TOY_PARAMS, "gradient_steps:1"]
        params += [param for param in toy if param.partition(":")[0] not in given]
    trials = ["--n-trials", "1"] if "-optimize" in rest else []
    return [*rest, *TOY, *trials, *(["-params", *params] if params else [])]


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        (
            "train --algo dqn -params n_envs:8 buffer_size:9 --vec-env native",
            [
                *("train", "--algo", "dqn", "--vec-env", "native", *TOY),
                *(
                    "-params",
                    "n_envs:8",
                    "buffer_size:9",
                    "learning_starts:100",
                    "gradient_steps:1",
                ),
            ],
        ),
        ("train --algo q_learning -n 9", ["train", "--algo", "q_learning", "-n", "9", *TOY]),
        ("record RUN -n 9", ["record", "RUN", "-n", "9", "-n", "60"]),
        ("plot RUN", ["plot", "RUN"]),
    ],
)
def test_commands_are_shortened_to_toy_size(command: str, expected: list[str]) -> None:
    name, *arguments = command.split()
    assert [name, *shortened(name, arguments)] == expected


@pytest.mark.process
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("page", PAGES)
def test_documented_commands_run(page: str, tmp_path: Path) -> None:
    for name in ("hyperparams", "trained_agents", "examples"):
        shutil.copytree(ROOT / name, tmp_path / name)
    for words in commands_of([b for b in all_blocks("bash") if b.is_run and b.page == page]):
        assert words[:2] == ["python", "-m"], words
        module, *arguments = words[2:]
        if module == "sb3_atari_course":
            command, *arguments = arguments
            printed_by(command, *shortened(command, arguments), cwd=tmp_path)
        else:
            python_m(module, *shortened(module, arguments), cwd=tmp_path)


@pytest.mark.parametrize("block", all_blocks("bash"), ids=str)
def test_targets_and_flags_exist(block: Block) -> None:
    """Also in blocks that are not run: targets of make, and flags of our own commands."""
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for words in commands_of([block]):
        assert not {"|", "&&", ";", ">"} & set(words), words
        if words[0] == "make":
            for target in (word for word in words[1:] if "=" not in word):
                assert re.search(rf"^(?:[\w ]+ )?{target}(?: [\w ]+)?:(?!=)", makefile, flags=re.M)
        if words[1:3] == ["-m", "sb3_atari_course"]:
            text = help_of(words[3])
            for flag in (word for word in words[4:] if re.match(r"--?[a-z]", word)):
                assert re.search(rf"(?<![\w-]){flag}(?![\w-])", text), flag


@cache
def help_of(command: str) -> str:
    return printed_by(command, "--help")
