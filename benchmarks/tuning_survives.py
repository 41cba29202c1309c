"""Fault tolerance of tuning: workers are killed repeatedly, and the database is restarted.

Run:  python benchmarks/tuning_survives.py [--quick]      (2 minutes; needs the extra "services")

40 short trials of DQN on CartPole, 4 workers; exactly 40 must finish. Every 1.5 s a random worker
is killed by SIGKILL if it is running a trial; the launcher replaces it. Once with a journal file,
once with a PostgreSQL server that is stopped immediately in the middle of the study, and started
again some seconds later.

For each storage, a row and a line of JSON: ``finished`` and ``running`` trials at the end of the
command, ``duplicates`` (finished trials with the parameters of an earlier finished one), ``kills``
(workers killed while running a trial), ``seconds``.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import random
import signal
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import optuna
from optuna.study import Study
from optuna.trial import TrialState

from benchmarks.postgres_server import PostgresServer
from sb3_atari_course.tuning.storage import open_storage
from sb3_atari_course.tuning.study import WORKER, find_study, status_of

NAME = "survivor"
N_WORKERS = 4

#: Seconds without a heartbeat until a worker on the database counts as dead; between two kills, and
#: before the first one; for which the database is stopped.
GRACE_PERIOD, BETWEEN_KILLS, DOWNTIME = 6, 1.5, 5.0


def tune(
    folder: Path, storage: str | None, n_trials: int, n_timesteps: int
) -> subprocess.Popen[Any]:
    """Start the command ``tune``."""
    command = [
        *(sys.executable, "-m", "sb3_atari_course", "tune"),
        *("--algo", "dqn", "--env", "CartPole-v1", "--study-name", NAME, "-f", str(folder)),
        *("--n-trials", str(n_trials), "-n", str(n_timesteps), "--workers", str(N_WORKERS)),
        *("--num-threads", "1", "--n-games", "3", "--n-evaluations", "2"),
        *("--param", "batch_size=64", "net_arch=[64,64]", "updates_per_step=[0.25,0.5]"),
        *("--grace-period", str(GRACE_PERIOD)),
        *(("--storage", storage) if storage else ()),
    ]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def wait_for_study(folder: Path, storage: str | None, process: subprocess.Popen[Any]) -> Study:
    """Return the study as soon as the command has created it."""
    while process.poll() is None:
        try:
            return find_study(open_storage(storage, folder / NAME, grace_period=3600), NAME)
        except ValueError:
            time.sleep(1.0)
    raise RuntimeError(f"tune exited without a study: {process.communicate()[0]}")


def kill_one(study: Study, rng: random.Random) -> bool:
    """Kill a random worker if it is running a trial; return whether it was."""
    running = [
        trial
        for trial in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
        if trial.user_attrs.get(WORKER, [None])[0] == platform.node()
    ]
    sampled = rng.randrange(N_WORKERS)
    if sampled >= len(running):
        return False  # it is starting, or idle
    trial = running[sampled]
    try:
        os.kill(trial.user_attrs[WORKER][1], signal.SIGKILL)
    except ProcessLookupError:
        return False  # already killed, but not detected yet
    after = study.get_trials(deepcopy=False)[trial.number].state
    return after in (TrialState.RUNNING, TrialState.FAIL)  # not finished just before


def run_with_kills(
    folder: Path,
    storage: str | None,
    *,
    n_trials: int,
    n_timesteps: int,
    between: float = BETWEEN_KILLS,
    interrupt: Callable[[], None] | None = None,
) -> dict[str, Any]:
    """Run a study while killing its workers; return the row of the table.

    :param folder: of the study.
    :param storage: URL of a database; None for a journal.
    :param n_trials: trials of the study.
    :param n_timesteps: agent steps per trial.
    :param between: seconds between two kills.
    :param interrupt: called once, when half of the trials are finished.
    """
    rng = random.Random(0)
    start = time.monotonic()
    process = tune(folder, storage, n_trials, n_timesteps)
    study = wait_for_study(folder, storage, process)
    n_kills, next_kill = 0, None
    while process.poll() is None:
        time.sleep(0.1)
        if interrupt is not None and status_of(study).finished >= n_trials // 2:
            interrupt()
            interrupt = None
        if next_kill is None and status_of(study).running:
            next_kill = time.monotonic() + between
        if next_kill is not None and time.monotonic() >= next_kill:
            n_kills += kill_one(study, rng)
            text = f"{status_of(study).finished} of {n_trials} trials, {n_kills} kills"
            print(text, file=sys.stderr, flush=True)
            # more time on a machine that is too slow to finish a trial between two kills
            next_kill = time.monotonic() + between * max(1.0, n_kills / n_trials)
    output = process.communicate()[0]
    if process.returncode:
        raise RuntimeError(f"tune exited with status {process.returncode}: {output}")
    (folder / "output.txt").write_text(output)
    status = status_of(study)
    return {
        "finished": status.finished,
        "running": status.running,
        "duplicates": n_duplicates(study),
        "kills": n_kills,
        "seconds": round(time.monotonic() - start),
    }


def n_duplicates(study: Study) -> int:
    """Return the number of finished trials with the parameters of an earlier finished one."""
    finished = study.get_trials(states=(TrialState.COMPLETE, TrialState.PRUNED))
    return len(finished) - len({json.dumps(one.params, sort_keys=True) for one in finished})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--quick", action="store_true", help="8 trials: smoke test")
    parser.add_argument("--keep", type=Path, help="folder of the studies (default: temporary)")
    args = parser.parse_args()
    warnings.simplefilter("ignore")
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    size: dict[str, Any] = {"n_trials": 8 if args.quick else 40, "n_timesteps": 2000}
    with tempfile.TemporaryDirectory() as scratch:
        home = args.keep or Path(scratch)
        home.mkdir(parents=True, exist_ok=True)
        results = {"journal": run_with_kills(home / "journal", None, **size)}
        with PostgresServer() as server:

            def restart_server() -> None:
                server.stop()
                time.sleep(DOWNTIME)
                server.start()

            results["postgresql"] = run_with_kills(
                home / "postgresql", server.url, interrupt=restart_server, **size
            )
    print(
        f"{size['n_trials']} trials, {N_WORKERS} workers,"
        f" a random one killed every {BETWEEN_KILLS:g} s"
    )
    columns = list(results["journal"])
    print(f"{'':<12}" + "".join(f"{column:>12}" for column in columns))
    for storage, result in results.items():
        print(f"{storage:<12}" + "".join(f"{result[column]:>12}" for column in columns))
    for storage, result in results.items():
        print(json.dumps({"storage": storage, **result}))


if __name__ == "__main__":
    main()
