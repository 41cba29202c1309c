"""Arguments shared by the commands: flags, the choice of a run, errors.

Neither this module nor the top level of ``evaluate``, ``plot``, ``tune``, ``publish``, ``check``,
``student`` and ``resume`` imports PyTorch: ``--help`` and argument errors appear at once.
"""

from __future__ import annotations

import argparse
import ast
import math
import os
import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NoReturn

from sb3_atari_course._common import N_ENVS

_EXAMPLE = "logs/dqn/CartPole-v1_1"
_DEVICE = re.compile(r"auto|(cpu|cuda|mps|xpu)(:\d+)?")


def fail(message: str) -> NoReturn:
    """Print an error in one line, and exit with status 2."""
    print("sb3-atari: error:", *map(str.strip, message.splitlines()), file=sys.stderr)
    raise SystemExit(2)


class CommandParser(argparse.ArgumentParser):
    """Argument parser of one command; an invalid argument prints one line, as other errors do."""

    def __init__(self, command: str, description: str | None = None, **kwargs: Any) -> None:
        super().__init__(
            prog=f"sb3-atari {command}",
            description=description,
            formatter_class=argparse.RawDescriptionHelpFormatter,
            **kwargs,
        )

    def error(self, message: str) -> NoReturn:
        """Exit with status 2."""
        fail(f"{message} ({self.prog} --help lists the arguments)")


def number(
    kind: type[int] | type[float], least: float, most: float = math.inf
) -> Callable[[str], Any]:
    """Return an argparse type: numbers of a kind from ``least`` to ``most``."""
    allowed = f"at least {least}" if most == math.inf else f"from {least} to {most}"

    def read(text: str) -> int | float:
        try:
            value = kind(text)
        except ValueError:
            value = math.nan
        if not least <= value <= most:
            name = "an integer" if kind is int else "a number"
            raise argparse.ArgumentTypeError(f"must be {name}, {allowed}, got {text!r}")
        return value

    return read


def add_integer(
    parser: argparse._ActionsContainer,
    *flags: str,
    help: str,
    least: int = 1,
    default: int | None = None,
) -> None:
    """Add a flag with an integer; ``--help`` shows its default, unless that is None."""
    shown = "" if default is None else " (default %(default)s)"
    kind = number(int, least)
    parser.add_argument(*flags, type=kind, default=default, metavar="N", help=help + shown)


def add_games(parser: argparse._ActionsContainer, *, n_games: int, seed: int) -> None:
    """Add ``--n-games``, ``--seed`` and ``--epsilon`` of an evaluation."""
    add_integer(parser, "--n-games", "-n", default=n_games, help="number of games (episodes)")
    add_integer(
        parser, "--seed", least=0, default=seed, help="seed of the games' starts and random actions"
    )
    add_epsilon(parser)


def add_parallel_games(parser: argparse._ActionsContainer) -> None:
    """Add ``--n-envs`` and ``--workers`` of an evaluation, which do not change the scores."""
    add_integer(
        parser,
        "--n-envs",
        default=N_ENVS,
        help="most games played side by side, in all processes together",
    )
    text = "most processes that play games, started if it takes long (default: one per core)"
    add_integer(parser, "--workers", help=text)


def n_workers(args: argparse.Namespace) -> int:
    """Return ``--workers``, by default the number of cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return int(args.workers or len(os.sched_getaffinity(0)))
    return int(args.workers or os.cpu_count() or 1)


def add_epsilon(parser: argparse._ActionsContainer) -> None:
    """Add ``--epsilon``."""
    parser.add_argument(
        "--epsilon",
        type=number(float, 0, 1),
        help="probability of a random action (default 0.05 for an Atari game, else 0)",
    )


def add_several(parser: argparse._ActionsContainer, flag: str, metavar: str, **kwargs: Any) -> None:
    """Add a flag that takes several values, and may be given several times."""
    parser.add_argument(flag, nargs="+", action="extend", default=[], metavar=metavar, **kwargs)


def add_gym_packages(parser: argparse._ActionsContainer) -> None:
    """Add ``--gym-packages``."""
    text = "modules to import that register environments"
    add_several(parser, "--gym-packages", "MODULE", help=text)


def add_device(parser: argparse._ActionsContainer, default: str | None = "auto") -> None:
    """Add ``--device``.

    :param default: None for the device of the run.
    """
    shown = "that of the run" if default is None else default
    text = f"PyTorch device (default {shown})"
    parser.add_argument("--device", type=_device, default=default, help=text)


def _device(text: str) -> str:
    if not _DEVICE.fullmatch(text):
        raise argparse.ArgumentTypeError(
            f"{text!r} is not a PyTorch device: auto, cpu, cuda, cuda:1, mps, xpu"
        )
    return text


def add_cluster(parser: argparse._ActionsContainer, what: str) -> None:
    """Add ``--address``, ``--cpus`` and ``--gpus``.

    :param what: is placed on the cluster.
    """
    parser.add_argument(
        "--address",
        help="Ray cluster to run on: auto, HOST:PORT or ray://HOST:PORT (default: this machine)",
    )
    parser.add_argument(
        "--cpus", type=number(float, 0.01), default=1.0, help=f"CPUs per {what} (default 1)"
    )
    parser.add_argument(
        "--gpus",
        type=_gpus,
        default=0.0,
        help=f"GPUs per {what}, such as 0.25; 0 trains on the CPU (default 0)",
    )


def _gpus(text: str) -> float:
    gpus = float(number(float, 0)(text))
    if gpus > 1 and not gpus.is_integer():
        raise argparse.ArgumentTypeError(
            f"must be a fraction of one GPU, or a whole number, got {text!r}"
        )
    return gpus


def add_env_kwargs(parser: argparse._ActionsContainer, help: str) -> None:
    """Add ``--env-kwargs``, a list of names and values."""
    add_several(parser, "--env-kwargs", "NAME:VALUE", type=name_and_value, help=help)


def name_and_value(text: str) -> tuple[str, Any]:
    """Parse ``NAME:VALUE`` with a Python literal, as RL Zoo does but without running any code.

    >>> name_and_value("frameskip:1"), name_and_value("map_name:'8x8'")
    (('frameskip', 1), ('map_name', '8x8'))

    :raises argparse.ArgumentTypeError: for anything else.
    """
    name, _, value = text.partition(":")
    try:
        if name.isidentifier():
            return name, ast.literal_eval(value.strip())
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        pass
    raise argparse.ArgumentTypeError(
        f"{text!r} is not NAME:VALUE with a number, a bool or a quoted string, for"
        " example frameskip:1 full_action_space:True \"map_name:'8x8'\""
    )


def add_output(parser: argparse.ArgumentParser, what: str) -> None:
    """Add ``-o``.

    :param what: what is written there, and the default.
    """
    parser.add_argument("-o", "--output-folder", metavar="FOLDER", help=f"folder of {what}")


def add_run(parser: argparse.ArgumentParser, nargs: str | None = "?") -> None:
    """Add the arguments that choose a run: its folder, or RL Zoo's flags; see :func:`check_run`.

    :param nargs: of the folder, as in argparse; None if the command parses the folder itself.
    """
    if nargs is not None:
        text = f"run folder such as {_EXAMPLE}"
        parser.add_argument("run", nargs=nargs, metavar="RUN", help=text)
    group = parser.add_argument_group("instead of RUN")
    group.add_argument("--algo", help="RL Zoo's name of the algorithm, e.g. dqn")
    group.add_argument("--env", help="environment id")
    group.add_argument("-f", "--folder", help="log folder that contains the runs (default logs)")
    group.add_argument(
        "--exp-id",
        type=lambda text: int(text) if text.removeprefix("-").isdecimal() else text,
        help="run number, or 3_<uuid> for a run of --uuid (default 0: the latest run that has the"
        " model; for resume: the latest unfinished run)",
    )
    add_gym_packages(parser)


def parse_run(parser: argparse.ArgumentParser, arguments: Sequence[str]) -> argparse.Namespace:
    """Parse the arguments of a command that works on a run; see :func:`check_run`."""
    args = parser.parse_intermixed_args(arguments)
    check_run(parser, args)
    return args


def check_run(parser: argparse.ArgumentParser, args: argparse.Namespace) -> None:
    """Check that a run is chosen in one of the two ways; fill in the defaults of the flags.

    Afterwards ``args.run`` is the list of the folders that were given, perhaps empty.
    """
    runs = [args.run] if isinstance(args.run, str) else args.run or []
    flags = {"--algo": args.algo, "--env": args.env, "-f": args.folder, "--exp-id": args.exp_id}
    given = " ".join(f"{flag} {value}" for flag, value in flags.items() if value is not None)
    if runs and given:
        hint = "; the output folder is -o" if args.folder and "output_folder" in args else ""
        parser.error(
            f"choose a run by its folder or by --algo, --env, -f and --exp-id, got both,"
            f" {' '.join(runs)} and {given}{hint}"
        )
    for run in runs:
        if not Path(run).is_dir():
            parser.error(f"{run} is not a folder: give a run folder such as {_EXAMPLE}")
    if not runs and (args.algo is None or args.env is None):
        parser.error(
            f"no run: give its folder, such as {_EXAMPLE}, as the first argument, or choose it by"
            f" --algo and --env; got {given or 'neither'}"
        )
    args.run, args.folder, args.exp_id = runs, args.folder or "logs", args.exp_id or 0


def run_folders(args: argparse.Namespace) -> list[Path]:
    """Return the run folders that were given, or the one that the flags choose.

    The modules of ``--gym-packages`` are imported.

    :raises ValueError: for a run or module that does not exist.
    """
    from sb3_atari_course.envs import import_packages
    from sb3_atari_course.zoo.run_folder import find_folder

    import_packages(args.gym_packages)
    if args.run:
        return [Path(run) for run in args.run]
    return [find_folder(args.algo, args.env, args.folder, exp_id=args.exp_id)]


def add_model(parser: argparse.ArgumentParser) -> None:
    """Add the flags that choose a model of the run; see :func:`chosen_model`."""
    parser.add_argument(
        "--load-best", action="store_true", help="use the best model of RL Zoo's evaluations"
    )
    parser.add_argument(
        "--load-checkpoint",
        type=int,
        metavar="STEPS",
        help="use the model saved after STEPS agent steps (--save-freq)",
    )
    parser.add_argument(
        "--load-last-checkpoint",
        action="store_true",
        help="use the last model saved during training (--save-freq)",
    )


def chosen_model(args: argparse.Namespace) -> dict[str, Any]:
    """Return the arguments of ``find_model`` and ``find_run``; derive the flags from a run folder.

    RL Zoo finds a run by ``FOLDER/ALGO/ENV_NUMBER``, with its settings in ``ENV`` therein. The
    modules of ``--gym-packages`` are imported.

    :raises ValueError: for a folder with another name, a module or environment that does not
        exist.
    """
    from sb3_atari_course.envs import find_spec, import_packages

    import_packages(args.gym_packages)
    if args.run:
        args.folder, args.algo, args.env, args.exp_id = _parse_run_folder(Path(args.run[0]))
    find_spec(args.env)  # report an unknown id before a missing folder
    names = ("exp_id", "load_best", "load_checkpoint", "load_last_checkpoint")
    which = {name: getattr(args, name) for name in names}
    return {"algo": args.algo, "env_id": args.env, "folder": args.folder, **which}


def _parse_run_folder(run: Path) -> tuple[str, str, str, str]:
    """Return the log folder of a run, its algorithm, environment and number."""
    from rl_zoo3 import ALGOS

    from sb3_atari_course.zoo.algorithms import register_algorithms
    from sb3_atari_course.zoo.run_folder import read_yml

    register_algorithms()
    given, real = run, run.resolve()
    if run.parts[-2:] != real.parts[-2:]:  # such as "."
        run = real
    for settings in {file.parent for file in run.glob("*/*.yml")}:
        prefix = f"{settings.name}_"
        if run.name.startswith(prefix) and run.parent.name in ALGOS:
            env_id = read_yml(settings / "args.yml").get("env", settings.name)
            return str(run.parents[1]), run.parent.name, env_id, run.name.removeprefix(prefix)
    raise ValueError(
        f"{given} is not a run folder of RL Zoo, LOGS/ALGO/ENV_NUMBER such as {_EXAMPLE} with its"
        f" settings in {_EXAMPLE}/CartPole-v1/config.yml: give one, or choose a run by --algo and"
        " --env"
    )
