"""Command ``tune`` in this process: output, and one line for an invalid argument."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

from sb3_atari_course.tuning import search
from sb3_atari_course.tuning.study import settings_of
from sb3_atari_course.tuning.trial import Objective
from sb3_atari_course.tuning.workers import Launcher, work
from tests.zoo.runs import cli

ICE = ["tune", "--algo", "q_learning", "--env", "FrozenLake-v1", "-n", "1000"]
PONG = ["tune", "--algo", "dqn", "--env", "PongNoFrameskip-v4"]
CARTPOLE = ["tune", "--algo", "dqn", "--env", "CartPole-v1"]


class InThisProcess(Launcher):
    """Launcher that runs the trials in this process."""

    def run(self) -> None:
        folder = Path(self._job.folder) / "trials"
        work(self._study, Objective(settings_of(self._study), folder))


class NeverStarted(Launcher):
    """Launcher that must not start workers."""

    def run(self) -> None:
        pytest.fail("workers would train")


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a finished study of three trials."""
    folder = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setattr(search, "Launcher", InThisProcess)
        assert cli(*ICE, "--n-trials", "3") == 0
    return folder


def test_finished_study_starts_no_worker(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(home)
    assert cli(*ICE) == 0
    printed = capsys.readouterr().out
    assert "all trials are finished" in printed
    assert not (home / "studies/q_learning_FrozenLake-v1/workers").exists()


def test_best_flag_shows_progress(
    home: Path, shown: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(home)
    assert cli(*ICE, "--best") == 0
    assert shown == ["Writing best.yml, trials.csv and plots"]


def test_reads_storage_from_an_environment_variable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SB3_ATARI_STORAGE", "foo://here")
    assert cli(*ICE) == 2
    assert "foo://here" in capsys.readouterr().err
    assert cli(*ICE, "--best", "--storage", "x.log") == 2
    assert "journal not found: x.log" in capsys.readouterr().err


def test_list_params_prints_the_search_space(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli(*CARTPOLE, "--list-params", "--freeze", "gamma") == 0
    printed = capsys.readouterr().out
    rows = {line.split()[0]: line for line in printed.splitlines()}
    assert "[64, 128, 256]" in rows["batch_size"]
    assert "[" not in rows["gamma"]
    assert "crop" not in rows
    assert "double_q" not in rows


def test_reports_missing_extras_before_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    find = importlib.util.find_spec
    monkeypatch.setattr(
        "importlib.util.find_spec", lambda name: None if name == "plotly" else find(name)
    )
    assert cli(*CARTPOLE) == 2
    assert 'pip install "sb3_atari_course[tune]"' in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ([*CARTPOLE, "--param", "gama=0.9"], "gama: 0.9 is not a hyperparameter of dqn"),
        ([*CARTPOLE, "--param", "gamma"], "--param must be NAME=VALUES"),
        ([*CARTPOLE, "--param", "gamma=[2.0, 3.0]"], "gamma: 2.0 must be between 0 and 1"),
        ([*CARTPOLE, "--param", "gamma=[0.9, 3.0]"], "gamma=3.0: gamma: 3.0 "),
        ([*CARTPOLE, "--param", 'batch_size=["x"]'], "batch_size: 'x' must be an integer"),
        ([*CARTPOLE, "--param", "net_arch=[[8], 9]"], "net_arch=9: policy_kwargs.net_arch: 9"),
        ([*CARTPOLE, "--param", "learning_starts=[x]"], "learning_starts: 'x' must be an int"),
        ([*ICE, "--param", "learning_rate=[0.5, 2.0]"], "learning_rate=2.0"),
        ([*PONG, "--only", "dueling", "--param", "dueling=[yes, 3]"], "dueling: 3 must be"),
        ([*PONG, "--only", "crop", "--param", "crop=[null, [1, 2]]"], "crop=[1, 2]: crop must be"),
        ([*PONG, "--param", "gamma=[0.9, 2]", "--only", "gamma"], "gamma=2.0: gamma: 2.0 "),
        ([*CARTPOLE, "--space", "unknown.yml"], "gravity: 9.81 "),
        ([*CARTPOLE, "--space", "nowhere.yml"], "cannot read the space file nowhere.yml"),
        ([*CARTPOLE, "--param", "crop=[null,[30,195,5,155]]"], "needs wrap_atari in env_wrapper"),
        ([*ICE, "--storage", "postgresql://me:pw@127.0.0.1:9/x"], "cannot open postgresql"),
        ([*ICE, "--storage", "sqlite:///x.db", "--workers", "2"], "SQLite locks the whole"),
        ([*ICE, "--address", "auto"], "--address needs a PostgreSQL server as --storage"),
        ([*ICE, "--address", "auto", "--storage", "sqlite:///x.db"], "got sqlite:///x.db"),
        ([*ICE, "--address", "auto", "--device", "cuda"], "with --address pass --gpus"),
        ([*ICE, "--cpus", "2"], "--cpus and --gpus are for a cluster"),
        ([*ICE, "-f", "file"], "cannot write the journal file/q_learning_FrozenLake-v1"),
        ([*CARTPOLE, "--best"], "journal not found: studies/dqn_CartPole-v1/journal.log"),
        ([*CARTPOLE, "--only", "gamma", "--study-name", "q_learning_FrozenLake-v1"],
         "with algo=q_learning, not dqn: choose another --study-name"),
        ([*ICE, "--n-trials", "1"], "cannot be reduced to 1"),
        ([*ICE, "--n-trials", "0"], "--n-trials: must be an integer, at least 1, got '0'"),
        ([*CARTPOLE, "--env-kwargs", "gravity:3"], "env_kwargs {'gravity': 3}"),
        ([*CARTPOLE, "--gym-packages", "nowhere"], "--gym-packages nowhere: No module"),
        ([*CARTPOLE, "-conf", "numbers.yml"], "numbers.yml: gamma: '9e-1' must be a number"),
        ([*CARTPOLE, "-conf", "no_rate.yml", "-n", "2000"], "needs learning_rate in the yml"),
        ([*CARTPOLE, "-conf", "objects.py"], "objects.py: Object of type type is not JSON"),
        ([*CARTPOLE, "-n", "100"], "nothing would be learned: add --param learning_starts=10"),
        ([*CARTPOLE, "--minutes", "-1"], "--minutes: must be positive, got -1.0"),
        ([*CARTPOLE, "--study-name", "../x"], "--study-name must be the name of a folder in -f"),
        ([*CARTPOLE, "--best", "--study-name", "q_learning_FrozenLake-v1"],
         "study 'q_learning_FrozenLake-v1' tunes q_learning on FrozenLake-v1"),
        ([*CARTPOLE[:3], "--env", "CartPol-v1"], "unknown environment 'CartPol-v1'"),
        (["tune", "--algo", "ppo", "--env", "CartPole-v1"], "invalid choice: 'ppo'"),
        ([*CARTPOLE, "--only", "gamma", "--param", "gamma=0.9"], "no parameter to tune"),
    ],
    ids=lambda value: " ".join(value[3:])[:50] if isinstance(value, list) else "",
)  # fmt: skip
def test_invalid_argument_prints_one_line(
    home: Path,
    arguments: list[str],
    expected: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(home)
    (home / "file").touch()
    (home / "unknown.yml").write_text("default:\n  gravity: [9.81, 1.62]\n")
    (home / "numbers.yml").write_text("default:\n  policy: MlpPolicy\n  gamma: 9e-1\n")
    (home / "no_rate.yml").write_text("default:\n  policy: MlpPolicy\n  learning_starts: 50\n")
    (home / "objects.py").write_text(
        "import torch\n"
        "kwargs = {'optimizer_class': torch.optim.SGD}\n"
        "hyperparams = {'default': {'policy': 'MlpPolicy', 'policy_kwargs': kwargs}}\n"
    )
    before = sorted(home.rglob("*"))
    monkeypatch.setattr(search, "Launcher", NeverStarted)
    assert cli(*arguments) == 2
    printed = capsys.readouterr().err
    assert expected in printed
    assert "Traceback" not in printed
    assert printed.splitlines()[-1].startswith("sb3-atari")
    assert sorted(home.rglob("*")) == before  # no partial files are left


def test_reports_that_ray_is_missing_before_a_study_is_created(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sb3_atari_course.cluster.find_spec", lambda name: None)
    assert cli(*ICE, "--address", "auto", "--storage", "postgresql://me:pw@127.0.0.1:9/x") == 2
    printed = capsys.readouterr().err
    assert 'pip install "sb3_atari_course[cluster]"' in printed
    assert len(printed.splitlines()) == 1
    assert list(tmp_path.iterdir()) == []
