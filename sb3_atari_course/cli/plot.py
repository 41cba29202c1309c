"""``plot``: draw runs and write their report."""

from __future__ import annotations

import argparse
from pathlib import Path

from sb3_atari_course.cli.evaluate import parse, run_parser
from sb3_atari_course.report.curves import plot_comparison, plot_run
from sb3_atari_course.report.html_report import write_comparison_report, write_report
from sb3_atari_course.zoo.run_folder import find_folder

_DESCRIPTION = """\
Draw the learning curve of a run, finished or not, or compare several runs, and write a report:
one HTML file that needs no network and nothing beside it.

Name run folders (logs/dqn/CartPole-v1_1), or choose one run with --algo and --env: the latest that
has a model, or the latest if none has one. To draw a training that still runs, name its folder.
One run: learning_curve.png and report.html, in its folder. Several: comparison.png and
report.html in --output; runs with the same algorithm, environment and settings are seeds of one
line, drawn as their mean with its 95 % interval.
"""


def plot() -> None:
    """Draw the learning curve of a run, or compare several, and write ``report.html``."""
    parser = run_parser(_DESCRIPTION, required=False)
    parser.add_argument("runs", nargs="*", metavar="RUN", help="run folder")
    parser.add_argument(
        "-o",
        "--output",
        metavar="FOLDER",
        help="where the files go (default: the folder of the run; comparison/ for several)",
    )
    parser.add_argument("--no-html", action="store_true", help="pictures only, no report.html")
    args = parse(parser)
    folders = _folders(args)
    if len(folders) == 1:
        print(f"learning curve: {plot_run(folders[0], output=args.output)}")
        if not args.no_html:
            print(f"report: {write_report(folders[0], output=args.output)}")
        return
    output = Path(args.output or "comparison")
    print(f"comparison: {plot_comparison(folders, output / 'comparison.png')}")
    if not args.no_html:
        print(f"report: {write_comparison_report(folders, output)}")


def _folders(args: argparse.Namespace) -> list[Path]:
    """Return the folders that were named, or the one that was chosen."""
    chosen = args.algo is not None or args.env is not None
    if args.runs and chosen:
        raise ValueError(
            "give either run folders or --algo and --env, got both: leave --algo and --env out"
        )
    if args.runs:
        return [Path(run) for run in args.runs]
    if args.algo is None or args.env is None:
        raise ValueError(
            "no run to plot: name run folders, such as logs/dqn/CartPole-v1_1, or choose one with"
            " --algo and --env"
        )
    return [find_folder(args.algo, args.env, args.folder, exp_id=args.exp_id)]
