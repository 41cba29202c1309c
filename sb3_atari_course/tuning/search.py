"""Hyperparameter search: implementation of the command ``tune``.

Writes the best yml, a table of the trials and Optuna's plots into the study's folder.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.util
import os
import re
import shlex
import signal
import time
import warnings
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import optuna
from optuna.exceptions import ExperimentalWarning
from optuna.study import Study
from optuna.trial import FrozenTrial

from sb3_atari_course._common.passwords import STORAGE_VARIABLE, without_passwords
from sb3_atari_course._common.progress import Progress
from sb3_atari_course.cluster import Cluster
from sb3_atari_course.envs import import_packages, is_atari
from sb3_atari_course.envs.native.options import usable_threads
from sb3_atari_course.tuning.space import (
    Space,
    adapt_space,
    describe_space,
    drop_late_learning_starts,
    load_space,
)
from sb3_atari_course.tuning.storage import open_storage
from sb3_atari_course.tuning.study import (
    StudySettings,
    create_or_join,
    find_study,
    settings_of,
    status_of,
)
from sb3_atari_course.tuning.trial import (
    check_values,
    prepare,
    write_text,
)
from sb3_atari_course.tuning.workers import ClusterWorker, Job, Launcher, LocalWorker, Worker
from sb3_atari_course.zoo.experiment import check_device
from sb3_atari_course.zoo.yml_entry import Hyperparams, read_entry, yml_block

#: Agent steps of a trial of a game: minutes on a laptop.
_GAME_STEPS = 100_000
_N_TRIALS_GAME, _N_TRIALS = 20, 50

_PLOTS = ("optimization_history", "param_importances", "slice", "parallel_coordinate")


def search(args: argparse.Namespace) -> None:
    """Search hyperparameters, or report on an existing study.

    :param args: the flags of ``tune``, see :mod:`sb3_atari_course.cli.tune`.
    :raises ValueError: for an invalid flag.
    :raises ImportError: without the extra ``tune``.
    """
    check_device(args.device)
    args.env_kwargs = dict(args.env_kwargs)
    import_packages(args.gym_packages)
    warnings.simplefilter("ignore", ExperimentalWarning)
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    prepare(native=args.vec_env == "native")
    if args.list_params:
        print(describe_space(args.algo, _space_of(args), _entry_of(args)))
        return
    for package in ("pandas", "plotly"):  # fail before training, not after it
        if importlib.util.find_spec(package) is None:
            raise ImportError(
                f'tuning needs {package} of the extra "tune": pip install "sb3_atari_course[tune]"'
            )
    args.storage = args.storage or os.environ.get(STORAGE_VARIABLE)
    name = args.study_name or f"{args.algo}_{args.env.replace('/', '-')}"
    if Path(name).name != name:
        raise ValueError(f"--study-name must be the name of a folder in -f, got {name!r}")
    folder = Path(args.folder) / name
    if args.address is not None:
        folder = folder.resolve()  # the same on all nodes
    if args.best:
        study = find_study(open_storage(args.storage, folder, create=False), name)
        stored = settings_of(study)
        if (stored.algo, stored.env_id) != (args.algo, args.env):
            raise ValueError(
                f"study {name!r} tunes {stored.algo} on {stored.env_id}: pass these as --algo and"
                " --env, or another --study-name"
            )
    else:
        _check_storage(args)
        settings = _settings_of(args)  # checked before anything is written
        with _workers_of(args, folder) as start:
            storage = open_storage(
                args.storage, folder, n_workers=args.workers, grace_period=args.grace_period
            )
            default = _N_TRIALS_GAME if is_atari(args.env) else _N_TRIALS
            study = create_or_join(storage, name, settings, args.n_trials, default)
            _run(args, study, folder, start)
    with Progress("Writing best.yml, trials.csv and plots"):
        files = write_report(study, folder)
    status = status_of(study)
    if status.errors and not status.is_done:
        number, error = status.errors[-1]
        print(f"{len(status.errors)} trials failed, trial {number} with {error}")
    print(f"\n{files[0].read_text(encoding='utf-8')}")
    print(f"in {folder}: {', '.join(str(path.relative_to(folder)) for path in files)}")


def _check_storage(args: argparse.Namespace) -> None:
    """Check that the workers of a cluster can share the storage.

    :raises ValueError: if they cannot.
    """
    given = args.storage or "a journal file"
    if args.address is not None and not re.match(r"postgres(ql)?(\+\w+)?://", given):
        raise ValueError(
            "--address needs a PostgreSQL server as --storage, postgresql://user@host/database, for"
            f" the workers of all nodes; got {without_passwords(given)}"
        )


@contextlib.contextmanager
def _workers_of(args: argparse.Namespace, folder: Path) -> Iterator[Callable[[Job, Path], Worker]]:
    """Yield the function that starts a worker, on this machine or on a cluster.

    Fills in the defaults of ``--workers``, ``--num-threads`` and ``--device``.

    :raises ImportError: without the extra ``cluster``.
    :raises ValueError: if there is no such cluster, or it cannot run the workers.
    """
    n_cores = usable_threads(None, 2**16)
    if args.address is None:
        args.workers = args.workers or 1
        args.num_threads = args.num_threads or max(1, n_cores // args.workers)
        yield LocalWorker
        return
    request = {"cpus": args.cpus, "gpus": args.gpus}
    with Cluster(args.address, n_cpus=n_cores) as cluster:
        cluster.check_request(**request)
        cluster.check_folder(folder)
        args.workers = args.workers or cluster.n_slots(**request)
        args.num_threads = args.num_threads or max(1, int(args.cpus))
        args.device = "auto" if args.gpus else "cpu"
        yield partial(ClusterWorker, cluster=cluster, **request)


def _run(
    args: argparse.Namespace, study: Study, folder: Path, start: Callable[[Job, Path], Worker]
) -> None:
    """Run trials until the budget is spent, or until Ctrl-C."""
    settings, status = settings_of(study), status_of(study)
    tuned = Space(settings.algo, settings.space).tuned()
    print(
        f"study {study.study_name}: {settings.n_timesteps} steps per run,"
        f" tuned parameters {', '.join(tuned)}"
    )
    print(
        f"folder {folder}, workers {args.workers}; run the same command again to add workers, or to"
        " resume the study"
    )
    if status.is_done:
        print("all trials are finished; pass a larger --n-trials to extend the study")
        return
    job = Job(
        storage=args.storage,
        study_name=study.study_name,
        folder=str(folder),
        n_threads=args.num_threads,
        device=args.device,
        grace_period=args.grace_period,
        deadline=time.time() + 60 * args.minutes,
    )
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # like Ctrl-C: stop the workers
    try:
        Launcher(study, job, n_workers=args.workers, start=start).run()
    except KeyboardInterrupt:
        print("stopped; run the same command to resume, add --best to print the best trial so far")
        raise


def _settings_of(args: argparse.Namespace) -> StudySettings:
    """Return the settings of the study, checked."""
    hyperparams = _entry_of(args)
    is_game = is_atari(args.env)
    n_timesteps = args.n_timesteps
    if n_timesteps is None:
        if "n_timesteps" not in hyperparams:
            raise ValueError("the yml has no n_timesteps: pass the agent steps per run with -n")
        n_timesteps = int(hyperparams["n_timesteps"])
        if is_game:
            n_timesteps = min(n_timesteps, _GAME_STEPS)
    epsilon = args.epsilon
    if epsilon is None:
        epsilon = 0.05 if is_game else 0.0
    copied = (
        *("algo", "seed", "n_repeats", "n_evaluations", "n_games", "max_frames"),
        *("sampler", "n_startup_trials", "pruner"),
    )
    settings = StudySettings(
        env_id=args.env,
        hyperparams=hyperparams,
        space=drop_late_learning_starts(_space_of(args), hyperparams, n_timesteps),
        n_timesteps=n_timesteps,
        epsilon=epsilon,
        native=args.vec_env == "native",
        gym_packages=tuple(args.gym_packages),
        **{name: getattr(args, name) for name in copied},
    )
    check_values(settings, device=args.device)
    return settings


def _entry_of(args: argparse.Namespace) -> Hyperparams:
    """Return the yml entry of the environment, as the study stores it."""
    return read_entry(args.algo, args.env, args.conf_file, env_kwargs=args.env_kwargs)


def _space_of(args: argparse.Namespace) -> dict[str, object]:
    content = adapt_space(
        args.algo,
        load_space(args.algo, args.env, args.space),
        params=args.param,
        freeze=args.freeze,
        only=args.only,
    )
    return Space(args.algo, content).content()


def write_report(study: Study, folder: Path) -> list[Path]:
    """Write ``best.yml``, ``trials.csv`` and ``plots/*.html``.

    :return: the paths of the files.
    :raises ValueError: if no trial is complete.
    """
    best = folder / "best.yml"
    write_text(best, best_block(study, best))
    table = folder / "trials.csv"
    write_text(table, study.trials_dataframe().to_csv(index=False))
    plots = folder / "plots"
    plots.mkdir(parents=True, exist_ok=True)
    files = [best, table]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # experimental functions; log of a range's end
        for name in _PLOTS:
            axis = {} if name == "param_importances" else {"target_name": "mean score"}
            figure = getattr(optuna.visualization, f"plot_{name}")(study, **axis)
            files.append(plots / f"{name}.html")
            figure.write_html(files[-1], include_plotlyjs="directory")  # share plotly.min.js
    return files


def best_block(study: Study, file: Path) -> str:
    """Return the best trial as a yml entry, with its score and training command in a comment.

    :param file: path of the yml, for the command in the comment.
    :raises ValueError: if no trial is complete.
    """
    status, settings = status_of(study), settings_of(study)
    best: FrozenTrial | None = status.best
    if best is None:
        errors = f": {status.errors[-1][1]}" if status.errors else ""
        raise ValueError(f"study {study.study_name!r} has no complete trial{errors}")
    n = settings.n_repeats
    trainings = "after one training" if n == 1 else f"after each of {n} trainings"
    entry = Space(settings.algo, settings.space).fill(best.params, settings.hyperparams)
    return (
        f"# Study {study.study_name}: trial {best.number}, the best of {status.finished}"
        " finished.\n"
        f"# Score {best.values[0]:.4g}, mean of {settings.n_games} games at epsilon"
        f" {settings.epsilon:g} {trainings}.\n"
        "# Scores vary between seeds: train with several before comparing.\n"
        f"#   {_command(settings, file)}\n"
    ) + yml_block(settings.env_id, entry, settings.n_timesteps)


def _command(settings: StudySettings, file: Path) -> str:
    """Return the command that trains with a yml of this study."""
    arguments = [
        *("python", "-m", "sb3_atari_course", "train", "--algo", settings.algo),
        *("--env", settings.env_id, "-conf", str(file), "--seed", "1"),
        *(("--gym-packages", *settings.gym_packages) if settings.gym_packages else ()),
    ]
    return shlex.join(arguments)
