"""Command ``suite``: many algorithms, environments and seeds, on this machine or a cluster."""

from __future__ import annotations

import argparse
import signal
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from sb3_atari_course.cli.parser import (
    CommandParser,
    add_cluster,
    add_gym_packages,
    add_integer,
    add_several,
    number,
)
from sb3_atari_course.hyperparams import ALGORITHMS

if TYPE_CHECKING:
    from sb3_atari_course.suite.suite_file import RunSettings, SuiteSettings
    from sb3_atari_course.suite.suite_folder import SuiteFolder

_EPILOG = """\
The same command resumes a stopped suite, and adds algorithms, environments and seeds to it. Each
run is a run of `train` in FOLDER/ALGO/ENV_SEED. More in docs/guide/suites.md.
"""

#: Flags that describe runs: instead of a suite file.
_RUN_FLAGS = {
    "algo": "algos",
    "env": "envs",
    "seeds": "seeds",
    "n_timesteps": "n_timesteps",
    "conf_file": "conf_file",
    "hyperparams": "params",
    "env_kwargs": "env_kwargs",
    "vec_env": "vec_env",
    "gym_packages": "gym_packages",
}


def main(arguments: Sequence[str]) -> None:
    """Run a suite, or write its report; see ``suite --help``.

    :raises SystemExit: with status 1 if a run failed.
    """
    args = _parse(arguments)
    from sb3_atari_course.cluster import need_ray
    from sb3_atari_course.envs import import_packages
    from sb3_atari_course.report.run_data import need_extra
    from sb3_atari_course.suite.suite_folder import SuiteFolder

    if not args.report:
        need_ray()  # its extra includes the one of reports
    need_extra()
    name = Path(args.suite).stem if args.suite else "suite"
    folder = SuiteFolder((args.folder or Path("suites") / name).resolve())
    stored = folder.settings()
    if stored is None and args.report:
        raise ValueError(f"{folder.path} is not a suite: pass its folder with -f")
    if stored is not None:
        import_packages(stored.gym_packages)
    if args.report and folder.is_running:
        print("the suite is running: reporting the runs that are evaluated so far", flush=True)
        _write_report(folder)
        return
    n_failed = _run(args, folder, _settings_of(args, stored))
    if not n_failed or _evaluated(folder):
        _write_report(folder)
    if n_failed:
        raise SystemExit(1)


def _parse(arguments: Sequence[str]) -> argparse.Namespace:
    description = "Train and evaluate many algorithms, environments and seeds on all cores."
    parser = CommandParser("suite", description, epilog=_EPILOG)
    parser.add_argument("suite", nargs="?", metavar="SUITE.yml", help="settings of the runs")
    parser.add_argument(
        *("-f", "--folder"), type=Path, help="suite folder (default suites/NAME of SUITE.yml)"
    )
    parser.add_argument(
        "--report",
        action="store_true",
        help="do not train: evaluate finished runs where missing, and write the report",
    )
    runs = parser.add_argument_group("instead of SUITE.yml")
    add_several(runs, "--algo", "ALGO", help=", ".join(ALGORITHMS))
    add_several(runs, "--env", "ENV", help="environment ids")
    add_several(runs, "--seeds", "N", type=number(int, 1), help="seeds, at least 1")
    add_integer(runs, "-n", "--n-timesteps", help="agent steps of each run")
    runs.add_argument("-conf", "--conf-file", help="config file (default: as train)")
    add_several(
        runs, "-params", "NAME:VALUE", dest="hyperparams", help="override hyperparameters, as train"
    )
    add_several(runs, "--env-kwargs", "NAME:VALUE", help="environment arguments, as train")
    runs.add_argument("--vec-env", choices=("dummy", "subproc", "native"), help="default dummy")
    add_gym_packages(runs)
    where = parser.add_argument_group("where the runs are placed")
    add_cluster(where, "run")
    frequency = "agent steps between two checkpoints (default as train)"
    add_integer(where, "--checkpoint-freq", help=frequency)
    args = parser.parse_args(arguments)
    given = [name for name in _RUN_FLAGS if getattr(args, name) not in (None, [])]
    if (args.suite or args.report) and given:
        what = "SUITE.yml" if args.suite else "--report"
        parser.error(f"{what} and --{given[0].replace('_', '-')}: choose one")
    if not args.suite and not args.report and not (args.algo and args.env and args.seeds):
        parser.error("no runs: give SUITE.yml, or --algo, --env and --seeds")
    return args


def _settings_of(args: argparse.Namespace, stored: SuiteSettings | None) -> SuiteSettings:
    """Return the settings of the suite file, or of the flags instead of it.

    :param stored: settings of the suite, which the report uses, and whose evaluation no flag
        changes.
    """
    from sb3_atari_course.suite.suite_file import read_suite, suite_of
    from sb3_atari_course.zoo.hyperparameter_checks import NamedValues

    if args.report and stored is not None:
        return stored
    if args.suite:
        return read_suite(Path(args.suite))
    for name, flag in (("hyperparams", "-params"), ("env_kwargs", "--env-kwargs")):
        pairs = getattr(args, name)
        if pairs:
            setattr(args, name, None)
            read: argparse.Action = NamedValues([flag], name)  # type: ignore[no-untyped-call]
            read(argparse.ArgumentParser(), args, pairs, flag)
    given = {key: getattr(args, name) for name, key in _RUN_FLAGS.items()}
    settings = suite_of({key: value for key, value in given.items() if value not in (None, [])})
    return settings if stored is None else replace(settings, evaluation=stored.evaluation)


def _run(args: argparse.Namespace, folder: SuiteFolder, settings: SuiteSettings) -> int:
    """Run what is not finished; return the number of runs that failed."""
    from sb3_atari_course.checkpoints.callback import FREQUENCY
    from sb3_atari_course.cli import train
    from sb3_atari_course.cluster import Cluster
    from sb3_atari_course.envs.native.options import usable_threads
    from sb3_atari_course.suite.run_job import RunJob
    from sb3_atari_course.suite.suite_runner import FAILED, SuiteRunner

    runs: Sequence[RunSettings] = settings.runs
    unfinished = [run for run in runs if not folder.is_finished(run, settings)]
    if args.report:
        runs = unfinished = [run for run in unfinished if folder.is_trained(run)]
    merged = folder.check(settings)
    if not unfinished:
        with folder.locked():
            folder.add(settings)
        return 0
    with Cluster(args.address, n_cpus=usable_threads(None, 2**16)) as cluster:
        cluster.check_request(cpus=args.cpus, gpus=args.gpus)
        cluster.check_folder(folder.path)
        device = "auto" if args.gpus else "cpu"
        jobs = [
            RunJob(
                folder=folder,
                settings=run,
                suite=merged,
                train=train.main,
                n_threads=max(1, int(args.cpus)),
                device=device,
                checkpoint_freq=args.checkpoint_freq or FREQUENCY,
            )
            for run in runs
        ]
        runner = SuiteRunner(cluster, jobs, cpus=args.cpus, gpus=args.gpus)
        print(f"suite {folder.path}: {len(jobs)} runs", flush=True)
        signal.signal(signal.SIGTERM, signal.default_int_handler)  # like Ctrl-C
        try:
            with folder.locked():
                folder.add(settings)
                runner.run()
        except KeyboardInterrupt:
            print("stopped; run the same command to resume")
            raise
    return sum(run.state == FAILED for run in runner.runs)


def _evaluated(folder: SuiteFolder) -> list[RunSettings]:
    """Return the runs of the suite that have the scores of its evaluation."""
    settings = folder.settings()
    runs = () if settings is None else settings.runs
    return [run for run in runs if settings is not None and folder.is_evaluated(run, settings)]


def _write_report(folder: SuiteFolder) -> None:
    """Write tables, figures and HTML report of the finished runs."""
    from sb3_atari_course.suite.suite_report import write_suite_report

    settings, evaluated = folder.settings(), _evaluated(folder)
    assert settings is not None
    if not evaluated:
        raise ValueError(f"{folder.path} has no finished run yet, so there is nothing to report")
    files = write_suite_report(
        [folder.run(run) for run in evaluated],
        folder.path / "report",
        title=f"Suite {folder.path.name}",
        missing=[str(run) for run in settings.runs if run not in evaluated],
    )
    print(f"report: {', '.join(str(file) for file in files)}")
