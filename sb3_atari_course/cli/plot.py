"""Command ``plot``: learning curves and HTML reports of runs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from sb3_atari_course._common.progress import Progress
from sb3_atari_course.cli.parser import (
    CommandParser,
    add_output,
    add_run,
    parse_run,
    run_folders,
)

_DESCRIPTION = """\
Plot the learning curve of a run, finished or not, or compare several runs, and write a report: a
single self-contained HTML file.

Give run folders (logs/dqn/CartPole-v1_1), or choose one run by --algo and --env: the latest that
has a model, or the latest if none has one. To plot a run in progress, give its folder.
One run: learning_curve.png and report.html in its folder. Several runs: comparison.png and
report.html in -o; runs with the same algorithm, environment and settings are seeds of one group,
plotted as their mean with a 95 % confidence interval.
"""


def main(arguments: Sequence[str]) -> None:
    """Run the command."""
    parser = CommandParser("plot", _DESCRIPTION)
    add_run(parser, "*")
    add_output(parser, "the files (default: the run folder; for several runs: comparison)")
    parser.add_argument("--no-html", action="store_true", help="images only, no report.html")
    args = parse_run(parser, arguments)

    from sb3_atari_course.report.curves import plot_comparison, plot_run
    from sb3_atari_course.report.html_report import write_comparison_report, write_report

    folders = run_folders(args)
    if len(folders) == 1:
        with Progress("Plotting the learning curve"):
            curve = plot_run(folders[0], output=args.output_folder)
        print(f"learning curve: {curve}")
        if not args.no_html:
            with Progress("Writing the report"):
                report = write_report(folders[0], output=args.output_folder)
            print(f"report: {report}")
        return
    output = Path(args.output_folder or "comparison")
    with Progress(f"Comparing {len(folders)} runs"):
        comparison = plot_comparison(folders, output / "comparison.png")
    print(f"comparison: {comparison}")
    if not args.no_html:
        with Progress(f"Writing the report of {len(folders)} runs"):
            report = write_comparison_report(folders, output)
        print(f"report: {report}")
