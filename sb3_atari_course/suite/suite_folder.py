"""Folder of a suite: its settings, and the states of its runs.

``SUITE/`` contains::

    suite.json             settings of all runs
    dqn/CartPole-v1_1/     run folders of RL Zoo: algorithm, environment, seed
    hyperparams/           the yml of each algorithm and environment
    workers/               output of each run, and the process that trains it
    lock                   locked by the command that runs the suite
    report/                tables, figures and HTML report
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout
from huggingface_sb3 import EnvironmentName

from sb3_atari_course._common.atomic_files import write_result
from sb3_atari_course._common.errors import SettingError
from sb3_atari_course.checkpoints.folder import FOLDER, CheckpointFolder
from sb3_atari_course.suite.suite_file import RunSettings, SuiteSettings
from sb3_atari_course.zoo.run_folder import check_model, sha256_of
from sb3_atari_course.zoo.yml_entry import yml_block

#: Version of ``suite.json``.
_FORMAT = 1


@dataclass(frozen=True)
class SuiteFolder:
    """Folder of a suite, visible to all nodes under the same path.

    :param path: absolute path.
    """

    path: Path

    def run(self, settings: RunSettings) -> Path:
        """Return the run folder."""
        return self.path / settings.algo / f"{self._name(settings)}_{settings.seed}"

    def model(self, settings: RunSettings) -> Path:
        """Return the path of the final model."""
        return self.run(settings) / f"{self._name(settings)}.zip"

    def log(self, settings: RunSettings) -> Path:
        """Return the path of the output of a run."""
        return self.path / "workers" / f"{settings.algo}_{self.run(settings).name}.log"

    def process(self, settings: RunSettings) -> Path:
        """Return the path of the host and process id of a run, a file of active runs."""
        return self.log(settings).with_suffix(".json")

    def yml(self, settings: RunSettings) -> Path:
        """Return the path of the yml of an algorithm and environment."""
        return self.path / "hyperparams" / f"{settings.algo}_{self._name(settings)}.yml"

    def settings(self) -> SuiteSettings | None:
        """Return the settings of the suite, None if the folder has none yet.

        :raises SettingError: for a file that cannot be read.
        """
        path = self.path / "suite.json"
        if not path.is_file():
            return None
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            if content.pop("format") != _FORMAT:
                raise ValueError("another version of sb3_atari_course wrote it")
            return SuiteSettings.from_dict(content)
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise SettingError(f"{path} cannot be read: {error}: choose another -f") from error

    def add(self, given: SuiteSettings) -> SuiteSettings:
        """Add runs to the suite, and write its settings and yml files.

        :param given: runs that may be in the suite already, with the same settings.
        :return: the settings of all runs of the suite.
        :raises SettingError: as :meth:`check`, and if the folder cannot be written.
        """
        merged = self.check(given)
        for run in given.runs:
            text = yml_block(run.env_id, run.hyperparams, run.n_timesteps)
            _write(self.yml(run), text)
        content = {"format": _FORMAT, **merged.as_dict()}
        _write(self.path / "suite.json", json.dumps(content, indent=1) + "\n")
        return merged

    def check(self, given: SuiteSettings) -> SuiteSettings:
        """Return the settings that the suite will have with added runs, without writing anything.

        :raises SettingError: if a run is in the suite with other settings.
        """
        stored = self.settings()
        if stored is None:
            return given
        packages = tuple(dict.fromkeys([*stored.gym_packages, *given.gym_packages]))
        return replace(given, runs=self._merge(stored, given), gym_packages=packages)

    @property
    def is_running(self) -> bool:
        """Whether a command runs the suite."""
        try:
            with self.locked():
                return False
        except SettingError:
            return True

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Lock the suite for this process; the kernel unlocks it when the process dies.

        :raises SettingError: if another process runs the suite.
        """
        lock = FileLock(self.path / "lock", timeout=0)
        try:
            lock.acquire()
        except Timeout:
            raise SettingError(
                f"another command runs the suite {self.path}: wait until it ends, or stop it"
            ) from None
        try:
            yield
        finally:
            lock.release()

    def _merge(self, stored: SuiteSettings, given: SuiteSettings) -> tuple[RunSettings, ...]:
        runs = {run.key: run for run in stored.runs}
        # seeds share their settings, so a new seed is compared with those in the suite
        by_name = {(run.algo, run.env_id): run for run in stored.runs}
        for run in given.runs:
            known = runs.get(run.key) or by_name.get((run.algo, run.env_id))
            if known is not None:
                self._check_same(known, run)
            runs[run.key] = run
        return tuple(runs.values())

    def _check_same(self, stored: RunSettings, given: RunSettings) -> None:
        changes = [
            f"{name} {mine!r} instead of {theirs!r}"
            for name, theirs, mine in _differences(_flat(stored), _flat(given))
        ]
        if changes:
            raise SettingError(
                f"{given.algo} on {given.env_id} is in {self.path} with other settings:"
                f" {'; '.join(changes)}: choose another folder (-f)"
            )

    def is_trained(self, settings: RunSettings) -> bool:
        """Return whether training has ended and its model is saved.

        The folder of its checkpoints may be deleted then.

        :raises OSError: if the model exists but cannot be read now.
        """
        checkpoints = CheckpointFolder(self.run(settings) / FOLDER)
        if checkpoints.path.exists() and not checkpoints.has_ended:
            return False
        try:
            check_model(self.model(settings))
        except (FileNotFoundError, NotADirectoryError, ValueError):
            return False
        return True

    def is_finished(self, settings: RunSettings, suite: SuiteSettings) -> bool:
        """Return whether nothing is left to do."""
        return self.is_trained(settings) and self.is_evaluated(settings, suite)

    def is_evaluated(self, settings: RunSettings, suite: SuiteSettings) -> bool:
        """Return whether the final model has the scores of the suite's evaluation."""
        protocol = self._evaluation(settings)
        wanted = suite.evaluation.protocol(settings.env_id)
        return protocol is not None and wanted == {key: protocol.get(key) for key in wanted}

    def _evaluation(self, settings: RunSettings) -> dict[str, Any] | None:
        """Return the protocol of the final model's evaluation, None without one."""
        try:
            content = json.loads((self.run(settings) / "evaluation.json").read_text("utf-8"))
            if content["model_sha256"] != sha256_of(self.model(settings)):
                return None
            return dict(content["protocol"])
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return None

    @staticmethod
    def _name(settings: RunSettings) -> str:
        return str(EnvironmentName(settings.env_id))


def _write(path: Path, text: str) -> None:
    if path.is_file() and path.read_text(encoding="utf-8") == text:
        return
    write_result(path, lambda file: file.write(text.encode()), advice="choose another folder (-f)")


def _flat(settings: RunSettings) -> dict[str, Any]:
    return {
        **settings.hyperparams,
        "n_timesteps": settings.n_timesteps,
        "vec_env": settings.vec_env,
    }


def _differences(stored: dict[str, Any], given: dict[str, Any]) -> list[tuple[str, Any, Any]]:
    """Return name, stored and given value of each setting that differs."""
    names = {**stored, **given}
    both = [(name, stored.get(name), given.get(name)) for name in names]
    return [(name, a, b) for name, a, b in both if a != b]
