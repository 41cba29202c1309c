"""``enjoy``: RL Zoo's; and the flags that it and ``record`` take before RL Zoo's own."""

from __future__ import annotations

import argparse
import contextlib
import importlib
import sys
from collections.abc import Sequence

import rl_zoo3.enjoy

from sb3_atari_course.cli.parser import (
    CommandParser,
    add_integer,
    add_model,
    add_run,
    check_run,
    chosen_model,
)
from sb3_atari_course.envs import register_envs
from sb3_atari_course.zoo.algorithms import register_algorithms
from sb3_atari_course.zoo.experiment import refusals_of_hosts
from sb3_atari_course.zoo.playing import agent_for_rl_zoo, check_display
from sb3_atari_course.zoo.run_folder import find_model

#: Folder into which RL Zoo downloads an agent that is not there.
_DOWNLOADS = "rl-trained-agents"

_DESCRIPTION = f"""\
Watch an agent: RL Zoo's enjoy, for the run that evaluate takes. RUN is a run folder, such as
logs/dqn/CartPole-v1_1, and has to be the first argument. Below are the flags that differ from RL
Zoo's, then RL Zoo's own. Agents of RL Zoo are downloaded into -f {_DOWNLOADS}.
"""


@refusals_of_hosts()
def main(arguments: Sequence[str]) -> None:
    """Run the command."""
    parser = PlayParser("enjoy", _DESCRIPTION)
    parser.add_argument(
        "--vec-env",
        choices=("dummy", "native"),
        default="dummy",
        help="native: Atari games in ale-py's C++ threads",
    )
    args = parser.parse_play(arguments)
    if args.help:
        rl_zoo3.enjoy.enjoy()
    if args.vec_env == "native":
        importlib.import_module("sb3_atari_course.native_zoo")
    which = chosen_model(args)
    hand_over(parser, args)
    agent: contextlib.AbstractContextManager[None] = contextlib.nullcontext()
    try:
        run, model_path = find_model(**which)
        agent = agent_for_rl_zoo(rl_zoo3.enjoy, args.algo, args.env, run, model_path)
    except ValueError:
        if _DOWNLOADS not in args.folder:
            raise
        sys.argv += ["--exp-id", str(args.exp_id), *["--load-best"] * args.load_best]
        sys.argv += ["--load-last-checkpoint"] * args.load_last_checkpoint
        if args.load_checkpoint is not None:
            sys.argv += ["--load-checkpoint", str(args.load_checkpoint)]
    with agent:
        if not args.no_render:
            check_display()
        rl_zoo3.enjoy.enjoy()


class PlayParser(CommandParser):
    """The parser of what is read before RL Zoo's parser gets the rest."""

    def __init__(self, command: str, description: str) -> None:
        usage = f"sb3-atari {command} [RUN] [flags]"
        super().__init__(command, description, usage=usage, add_help=False)
        add_run(self, None)
        add_model(self)
        add_integer(self, "-n", "--n-timesteps", default=1000, help="agent steps")
        add_integer(self, "--n-envs", default=1, help="environments")
        self.add_argument("--no-render", action="store_true", help="open no window")
        self.add_argument("-h", "--help", action="store_true", help="show this and exit")

    def parse_play(self, arguments: Sequence[str]) -> argparse.Namespace:
        """Parse what comes before RL Zoo's own flags, which are ``others`` afterwards.

        For ``--help`` it is printed, and RL Zoo's parser shall print its own.
        """
        register_envs()
        register_algorithms()
        # argparse would take the value of a flag of RL Zoo, which it does not know, for the folder
        folders = [argument for argument in arguments[:1] if not argument.startswith("-")]
        args, others = self.parse_known_args(arguments[len(folders) :])
        args.run, args.others = folders, others
        if args.help:
            self.print_help()
            print("\nRL Zoo's own:\n")
            sys.argv = [self.prog, "--help"]
        else:
            check_run(self, args)
        return args


def hand_over(parser: PlayParser, args: argparse.Namespace) -> None:
    """Leave in ``sys.argv`` what RL Zoo's parser has to know; the model is found without it."""
    sys.argv = [parser.prog, "--algo", args.algo, "--env", args.env, "-f", args.folder]
    sys.argv += ["-n", str(args.n_timesteps), "--n-envs", str(args.n_envs)]
    sys.argv += ["--no-render"] * args.no_render + args.others
