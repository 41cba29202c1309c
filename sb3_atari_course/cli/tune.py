"""``python -m sb3_atari_course tune``: from the command line to a study and its report."""

from __future__ import annotations

import argparse
import contextlib
import importlib.util
import json
import os
import signal
import warnings
from pathlib import Path

import optuna
from optuna.exceptions import ExperimentalWarning
from optuna.study import Study

from sb3_atari_course._common.validation import integer_at_least
from sb3_atari_course.envs import import_packages, is_atari
from sb3_atari_course.envs.native.options import usable_threads
from sb3_atari_course.tuning.experiment import TrialExperiment
from sb3_atari_course.tuning.launcher import Launcher
from sb3_atari_course.tuning.options import parse_options
from sb3_atari_course.tuning.places import Hyperparams
from sb3_atari_course.tuning.progress import Progress
from sb3_atari_course.tuning.report import write_report
from sb3_atari_course.tuning.settings import StudySettings
from sb3_atari_course.tuning.space import (
    Space,
    adapt_space,
    describe_space,
    load_space,
    without_late_starts,
)
from sb3_atari_course.tuning.storage import open_storage
from sb3_atari_course.tuning.study import begin_or_join, find_study, settings_of, standing_of
from sb3_atari_course.tuning.worker import Job, prepare
from sb3_atari_course.zoo.launcher import check_device

#: Agent steps of a trial of a game: minutes on a laptop.
_GAME_STEPS = 100_000
_N_TRIALS_GAME, _N_TRIALS = 20, 50

#: Flags that are 1 at least.
_POSITIVE = (
    *("n_timesteps", "n_trials", "workers", "num_threads", "grace_period"),
    *("n_games", "n_evaluations", "n_repeats", "max_frames"),
)


def tune() -> None:
    """Search hyperparameters, or report on a search; see ``tune --help``."""
    args = parse_options()
    import_packages(args.gym_packages)
    warnings.simplefilter("ignore", ExperimentalWarning)
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    prepare(native=args.vec_env == "native")
    if args.list_params:
        print(describe_space(args.algo, _space_of(args), _entry_of(args)))
        return
    _check_extra()
    _check_numbers(args)
    name = args.study_name or f"{args.algo}_{args.env.replace('/', '-')}"
    if Path(name).name != name:
        raise ValueError(f"--study-name is the name of a folder in -f, got {name!r}")
    folder = Path(args.folder) / name
    if args.best:
        study = find_study(open_storage(args.storage, folder, create=False), name)
        begun = settings_of(study)
        if (begun.algo, begun.env_id) != (args.algo, args.env):
            raise ValueError(f"study {name!r} is of {begun.algo} on {begun.env_id}")
    else:
        study = _search(args, name, folder)
    _report(study, folder)


def _search(args: argparse.Namespace, name: str, folder: Path) -> Study:
    """Run trials until the budget is spent, or Ctrl-C."""
    settings = _settings_of(args)
    new_folders = [one for one in (folder, *folder.parents) if not one.exists()]
    _check_writable(folder)
    default = _N_TRIALS_GAME if is_atari(args.env) else _N_TRIALS
    try:
        storage = open_storage(
            args.storage, folder, n_workers=args.workers, grace_period=args.grace_period
        )
        study = begin_or_join(storage, name, settings, args.n_trials, default)
    except Exception:
        for one in new_folders:  # the innermost first
            with contextlib.suppress(OSError):
                one.rmdir()
        raise
    tuned = Space(settings.algo, settings.space).tuned()
    print(f"study {name}: {settings.n_timesteps} steps a training, tunes {', '.join(tuned)}")
    print(f"folder {folder}, workers {args.workers}; the same command joins, or goes on later")
    n_threads = args.num_threads or max(1, usable_threads(None, 2**16) // args.workers)
    job = Job(
        storage=args.storage,
        study_name=name,
        folder=str(folder),
        n_threads=n_threads,
        device=args.device,
        grace_period=args.grace_period,
        seconds=None if args.minutes is None else 60 * args.minutes,
    )
    if standing_of(study).is_done:
        print("all trials are finished; a larger --n-trials extends the study")
        return study
    progress = Progress()
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        Launcher(study, job, n_workers=args.workers, progress=progress).run()
    except KeyboardInterrupt:
        progress.tell("stopped; the same command goes on, and --best shows what there is")
        raise
    finally:
        progress.end()
    return study


def _report(study: Study, folder: Path) -> None:
    """Print the best yml and write the study's folder."""
    standing = standing_of(study)
    if standing.best is None:
        errors = f": {standing.errors[-1][1]}" if standing.errors else ""
        raise ValueError(f"study {study.study_name!r} has no complete trial{errors}")
    if standing.errors and not standing.is_done:
        number, error = standing.errors[-1]
        print(f"{len(standing.errors)} trials failed, trial {number} with {error}")
    files = write_report(study, folder)
    print(f"\n{(folder / 'best.yml').read_text(encoding='utf-8')}")
    print(f"in {folder}: {', '.join(str(path.relative_to(folder)) for path in files)}")


def _settings_of(args: argparse.Namespace) -> StudySettings:
    """Return what the study is about."""
    hyperparams = _entry_of(args)
    is_game = is_atari(args.env)
    n_timesteps = args.n_timesteps
    if n_timesteps is None:
        if "n_timesteps" not in hyperparams:
            raise ValueError("the yml has no n_timesteps: tell how long to train (-n)")
        n_timesteps = int(hyperparams["n_timesteps"])
        if is_game:
            n_timesteps = min(n_timesteps, _GAME_STEPS)
    epsilon = args.epsilon
    if epsilon is None:
        epsilon = 0.05 if is_game else 0.0
    settings = StudySettings(
        algo=args.algo,
        env_id=args.env,
        hyperparams=hyperparams,
        space=without_late_starts(_space_of(args), hyperparams, n_timesteps),
        n_timesteps=n_timesteps,
        seed=args.seed,
        n_repeats=args.n_repeats,
        n_evaluations=args.n_evaluations,
        n_games=args.n_games,
        epsilon=epsilon,
        max_frames=args.max_frames,
        sampler=args.sampler,
        n_startup_trials=args.n_startup_trials,
        pruner=args.pruner,
        native=args.vec_env == "native",
        gym_packages=tuple(args.gym_packages),
    )
    space = Space(settings.algo, settings.space)
    space.check_fits(hyperparams)
    space.start(hyperparams)  # the first trial: refused here, before anything is on the disk
    return settings


def _entry_of(args: argparse.Namespace) -> Hyperparams:
    """Return the yml entry of the environment, as the study will keep it."""
    experiment = TrialExperiment(
        args.algo, args.env, args.conf_file, env_kwargs=args.env_kwargs or {}
    )
    entry = experiment.entry()
    try:
        plain: Hyperparams = json.loads(json.dumps(entry))
    except TypeError as error:  # for example of a Python file
        raise ValueError(f"{experiment.config}: {error}: a study keeps plain values only") from None
    return plain


def _space_of(args: argparse.Namespace) -> dict[str, object]:
    content = adapt_space(
        args.algo,
        load_space(args.algo, args.env, args.space),
        params=args.param,
        freeze=args.freeze,
        only=args.only,
    )
    return Space(args.algo, content).content()


def _check_numbers(args: argparse.Namespace) -> None:
    """Check the flags with numbers, and the device."""
    for least, names in ((1, _POSITIVE), (0, ("seed", "n_startup_trials"))):
        for name in names:
            value = getattr(args, name)
            if value is not None:
                flag = "-n" if name == "n_timesteps" else f"--{name.replace('_', '-')}"
                integer_at_least(least, flag, value)
    if args.minutes is not None and not args.minutes > 0:
        raise ValueError(f"--minutes must be positive, got {args.minutes}")
    check_device(args.device)


def _check_extra() -> None:
    """Ask for the plots' packages now, not after a night of training."""
    for package in ("matplotlib", "pandas", "plotly"):
        if importlib.util.find_spec(package) is None:
            raise ImportError(
                f'tuning needs {package} of the extra "tune": pip install "sb3_atari_course[tune]"'
            )


def _check_writable(folder: Path) -> None:
    """Make the folder and try it.

    :raises ValueError: if nothing can be written there.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / f".{os.getpid()}"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise ValueError(
            f"cannot write into {folder}: {error.strerror}; choose another folder with -f"
        ) from None


def _interrupt(signal_number: int, frame: object) -> None:
    """Treat SIGTERM as Ctrl-C: the workers are told to stop."""
    raise KeyboardInterrupt
