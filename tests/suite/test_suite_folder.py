"""Folder of a suite: stored settings, extension, and the states of its runs."""

from __future__ import annotations

import errno
import hashlib
import json
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from sb3_atari_course._common.errors import SettingError
from sb3_atari_course.checkpoints.folder import Checkpoint, CheckpointFolder
from sb3_atari_course.suite import suite_folder
from sb3_atari_course.suite.suite_file import EvaluationSettings, RunSettings
from sb3_atari_course.suite.suite_folder import SuiteFolder
from tests.suite.suites import TABLE, suite, taxi


def ended_run(folder: SuiteFolder, run: RunSettings, *, finished: bool = True) -> None:
    """Write the checkpoint and the model of a run."""
    checkpoints = CheckpointFolder(folder.run(run) / "checkpoints")
    checkpoints.path.mkdir(parents=True)
    checkpoints.write(Checkpoint(100, 100, finished=finished, facts={}), {"a": 1})
    with zipfile.ZipFile(folder.model(run), "w") as file:
        file.writestr("data", "{}")


def score(folder: SuiteFolder, run: RunSettings, **changes: Any) -> None:
    """Write the evaluation of a run."""
    sha256 = hashlib.sha256(folder.model(run).read_bytes()).hexdigest()
    protocol = {"n_games": 2, "seed": 1000, "epsilon": 0.0, "noop_max": 30}
    content = {"model_sha256": sha256, "protocol": protocol, **changes}
    (folder.run(run) / "evaluation.json").write_text(json.dumps(content))


@pytest.fixture
def folder(tmp_path: Path) -> SuiteFolder:
    return SuiteFolder(tmp_path / "my suite")


def test_run_folders_are_those_of_rl_zoo(folder: SuiteFolder) -> None:
    run = replace(taxi(seed=7), env_id="ALE/Pong-v5")
    assert folder.run(run) == folder.path / "q_learning" / "ALE-Pong-v5_7"
    assert folder.model(run) == folder.run(run) / "ALE-Pong-v5.zip"
    assert folder.log(run) == folder.path / "workers" / "q_learning_ALE-Pong-v5_7.log"
    assert folder.process(run) == folder.path / "workers" / "q_learning_ALE-Pong-v5_7.json"
    assert folder.yml(run) == folder.path / "hyperparams" / "q_learning_ALE-Pong-v5.yml"


def test_folder_without_settings_is_not_a_suite(folder: SuiteFolder) -> None:
    assert folder.settings() is None


def test_stores_settings_and_the_yml_of_train(folder: SuiteFolder) -> None:
    given = suite(taxi(1), taxi(2))
    assert folder.add(given) == given
    assert folder.settings() == given
    text = folder.yml(taxi()).read_text()
    assert yaml.safe_load(text) == {"Taxi-v4": {**TABLE, "n_timesteps": 400}}


def test_same_settings_leave_the_files_as_they_are(folder: SuiteFolder) -> None:
    folder.add(suite(taxi()))
    before = {path: path.stat().st_mtime_ns for path in folder.path.rglob("*")}
    folder.add(suite(taxi()))
    assert {path: path.stat().st_mtime_ns for path in folder.path.rglob("*")} == before


def test_adds_seeds_and_keeps_runs_that_are_not_given_again(folder: SuiteFolder) -> None:
    folder.add(suite(taxi(1), taxi(2)))
    merged = folder.add(suite(taxi(3), taxi(2)))
    assert [run.seed for run in merged.runs] == [1, 2, 3]
    assert folder.settings() == merged


def test_evaluation_is_that_of_the_latest_command(folder: SuiteFolder) -> None:
    folder.add(suite(taxi(), n_games=2))
    assert folder.add(suite(taxi(), n_games=5)).evaluation == EvaluationSettings(n_games=5)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (taxi(gamma=0.8), "gamma 0.8 instead of 0.9"),
        (taxi(n_timesteps=500), "n_timesteps 500 instead of 400"),
        (taxi(seed=2, gamma=0.8), "gamma 0.8 instead of 0.9"),
        (taxi(n_envs=2), "n_envs 2 instead of None"),
        (replace(taxi(), vec_env="subproc"), "vec_env 'subproc' instead of 'dummy'"),
    ],
    ids=["hyperparameter", "steps", "new seed", "new hyperparameter", "vec_env"],
)
def test_rejects_changed_settings_and_changes_nothing(
    folder: SuiteFolder, given: RunSettings, expected: str
) -> None:
    folder.add(suite(taxi()))
    before = {path: path.read_bytes() for path in folder.path.rglob("*") if path.is_file()}
    with pytest.raises(SettingError, match=rf"q_learning on Taxi-v4 .*: {expected}"):
        folder.add(suite(given))
    now = {path: path.read_bytes() for path in folder.path.rglob("*") if path.is_file()}
    assert now == before


def cut(text: str) -> str:
    return text[: len(text) // 2]


def of_another_version(text: str) -> str:
    return json.dumps({**json.loads(text), "format": 2})


def without_runs(text: str) -> str:
    return json.dumps({"format": json.loads(text)["format"]})


@pytest.mark.parametrize("damage", [cut, of_another_version, without_runs, lambda _: "[1]"])
def test_rejects_damaged_settings_with_their_path(
    folder: SuiteFolder, damage: Callable[[str], str]
) -> None:
    folder.add(suite(taxi()))
    path = folder.path / "suite.json"
    path.write_text(damage(path.read_text()))
    with pytest.raises(SettingError, match=r"suite\.json cannot be read"):
        folder.settings()


def test_rejects_a_folder_that_cannot_be_created(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ValueError, match="cannot be written"):
        SuiteFolder(tmp_path / "file" / "suite").add(suite(taxi()))


def test_run_is_trained_with_a_finished_checkpoint_and_a_model(folder: SuiteFolder) -> None:
    assert not folder.is_trained(taxi())
    ended_run(folder, taxi())
    assert folder.is_trained(taxi())


def test_run_is_not_trained_before_its_last_step(folder: SuiteFolder) -> None:
    ended_run(folder, taxi(), finished=False)
    assert not folder.is_trained(taxi())


@pytest.mark.parametrize("content", [None, b"", b"PK"])
def test_run_is_not_trained_without_a_whole_model(
    folder: SuiteFolder, content: bytes | None
) -> None:
    ended_run(folder, taxi())
    model = folder.model(taxi())
    if content is None:
        model.unlink()
    else:
        model.write_bytes(content)
    assert not folder.is_trained(taxi())


def test_run_is_evaluated_by_the_protocol_of_the_suite(folder: SuiteFolder) -> None:
    ended_run(folder, taxi())
    assert not folder.is_evaluated(taxi(), suite())
    score(folder, taxi())
    assert folder.is_evaluated(taxi(), suite())


@pytest.mark.parametrize(
    "changes",
    [
        {"model_sha256": "of another model"},
        {"protocol": {"n_games": 3, "seed": 1000, "epsilon": 0.0}},
        {"protocol": {"n_games": 2, "seed": 1, "epsilon": 0.0}},
        {"protocol": {"n_games": 2, "seed": 1000, "epsilon": 0.1}},
        {"protocol": None},
        {"protocol": []},
    ],
)
def test_scores_of_another_model_or_protocol_do_not_count(
    folder: SuiteFolder, changes: dict[str, Any]
) -> None:
    ended_run(folder, taxi())
    score(folder, taxi(), **changes)
    assert not folder.is_evaluated(taxi(), suite())


def test_model_that_cannot_be_read_now_is_an_error(
    folder: SuiteFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stale(*_: object, **__: object) -> None:
        raise OSError(errno.ESTALE, "Stale file handle")

    ended_run(folder, taxi())
    monkeypatch.setattr(suite_folder, "check_model", stale)
    with pytest.raises(OSError, match="Stale"):
        folder.is_trained(taxi())


def test_damaged_scores_do_not_count(folder: SuiteFolder) -> None:
    ended_run(folder, taxi())
    (folder.run(taxi()) / "evaluation.json").write_text('{"model_sha')
    assert not folder.is_evaluated(taxi(), suite())


def test_suite_that_another_command_runs_is_refused(folder: SuiteFolder) -> None:
    folder.add(suite())
    with folder.locked(), pytest.raises(SettingError, match="another command runs the suite"):
        SuiteFolder(folder.path).locked().__enter__()
    with folder.locked():
        assert SuiteFolder(folder.path).is_running
    assert not folder.is_running


def test_modules_that_register_environments_are_kept(folder: SuiteFolder) -> None:
    folder.add(replace(suite(taxi()), gym_packages=("one", "two")))
    added = folder.add(replace(suite(taxi(2)), gym_packages=("two", "three")))
    assert added.gym_packages == ("one", "two", "three")
    assert folder.settings() == added
