"""Publishing: model selection, written files, model card, errors."""

from __future__ import annotations

import errno
import json
import os
import re
import shutil
import signal
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from stable_baselines3 import DQN
from stable_baselines3.common.callbacks import BaseCallback

from sb3_atari_course.agents import load_agent, read_card
from sb3_atari_course.agents.publishing import (
    plain,
    publish,
    read_provenance,
    shown_command,
    wall_clock,
)
from sb3_atari_course.checkpoints.folder import installed_versions
from sb3_atari_course.evaluation import GamesReport
from sb3_atari_course.zoo.run_folder import PROVENANCE, Run, find_run, portable, read_yml
from tests.agents.file_contents import all_of
from tests.zoo.runs import cli, python_m

GAMES = {"n_games": 2, "selection_games": 1}
#: File -> mean score of the fake evaluation, on the games of the selection and of the score.
MEANS = {
    "CartPole-v1.zip": (20.0, 1.0),
    "best_model.zip": (30.0, 2.0),
    "rl_model_10_steps.zip": (99.0, 9.0),
    "rl_model_20_steps.zip": (98.0, 8.0),
    "rl_model_24_steps.zip": (97.0, 7.0),
    "rl_model_30_steps.zip": (40.0, 3.0),
    "rl_model_40_steps.zip": (35.0, 4.0),
    "rl_model_50_steps.zip": (96.0, 6.0),
}


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """Return the folder of a run with eight models with different weights."""
    folder = tmp_path / "logs" / "dqn" / "CartPole-v1_3"
    settings = folder / "CartPole-v1"
    settings.mkdir(parents=True)
    for seed, name in enumerate(MEANS):
        model = DQN("MlpPolicy", "CartPole-v1", seed=seed, buffer_size=9, device="cpu")
        model.num_timesteps = int(name.split("_")[2]) if name.startswith("rl_model") else 50
        model.save(folder / name)
    (folder / "0.monitor.csv").write_text('#{"t_start": 0.0}\nr,l,t\n9.0,9,1.0\n31.0,31,2.0\n')
    log = "time/total_timesteps,time/time_elapsed\n50,150\n"
    (folder / "progress.csv").write_text(log)
    config = {"policy": "MlpPolicy", "n_timesteps": 50, "policy_kwargs": {"net_arch": (64, 64)}}
    (settings / "config.yml").write_text(yaml.dump({**config, "double_q": True}))
    arguments = {"algo": "dqn", "env": "CartPole-v1", "seed": 5, "n_timesteps": 50}
    arguments |= {"env_kwargs": None, "log_folder": "/home/me/logs"}
    (settings / "args.yml").write_text(yaml.dump(arguments))
    command = "python -m sb3_atari_course train --algo dqn --env CartPole-v1 -n 50 -f /home/me"
    (settings / "command.txt").write_text(command)
    return folder


@pytest.fixture
def evaluated(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, int]]:
    """Replace evaluations by known means; return the evaluated files and seeds."""
    played = []

    def evaluate(self: Run, *, seed: int, n_games: int, **kwargs: Any) -> GamesReport:
        name = self.model_path.name
        if self.folder.name.endswith(".part"):
            name = next(one for one in MEANS if same_weights(self.folder / name, one))
        played.append((name, seed))
        mean = MEANS[name][seed == 1000]
        return GamesReport("CartPole-v1", (mean,) * n_games, (1,) * n_games, (), {"seed": seed})

    originals = {}

    def same_weights(path: Path, name: str) -> bool:
        if path not in originals:
            model = DQN.load(path, device="cpu")
            originals[path] = model.policy.state_dict()["q_net.q_net.0.weight"]
        seed = list(MEANS).index(name)
        model = DQN("MlpPolicy", "CartPole-v1", seed=seed, buffer_size=9, device="cpu")
        return bool((model.policy.state_dict()["q_net.q_net.0.weight"] == originals[path]).all())

    monkeypatch.setattr(Run, "evaluate", evaluate)
    return played


def test_model_selection_uses_separate_games(
    run: Path, evaluated: list[tuple[str, int]], tmp_path: Path
) -> None:
    target = publish(run, tmp_path / "agents", stages=[10, 40], **GAMES)
    assert target == tmp_path / "agents" / "dqn" / "CartPole-v1_1"
    candidates = [name for name, seed in evaluated if seed == 500]
    # no checkpoint of the first half, although they score higher; the last one only once
    assert candidates == [
        "CartPole-v1.zip",
        "best_model.zip",
        "rl_model_40_steps.zip",
        "rl_model_30_steps.zip",
    ]
    scored = [name for name, seed in evaluated if seed == 1000]
    assert scored == ["rl_model_10_steps.zip", "rl_model_40_steps.zip", "rl_model_30_steps.zip"]
    card = read_card(target)
    assert card["selection"]["chosen"] == "rl_model_30_steps.zip"
    assert card["selection"]["means"]["best_model.zip"] == 30.0
    assert {name: score["mean"] for name, score in card["scores"].items()} == {
        "rl_model_10_steps.zip": 9.0,
        "rl_model_40_steps.zip": 4.0,
        "best_model.zip": 3.0,  # the same agent, and so is the next
        "CartPole-v1.zip": 3.0,
    }
    assert set(card["files"]) == set(card["scores"])
    assert card["training"]["agents"] == {
        "rl_model_10_steps.zip": {"steps": 10, "minutes": 0.5},
        "rl_model_40_steps.zip": {"steps": 40, "minutes": 2.0},
        "best_model.zip": {"steps": 30, "minutes": 1.5},
    }


def test_published_folder_has_settings_but_no_paths_of_the_machine(
    run: Path, evaluated: list[tuple[str, int]], tmp_path: Path
) -> None:
    target = publish(run, tmp_path / "agents", stages=[20], **GAMES)
    files = sorted(str(path.relative_to(target)) for path in target.rglob("*") if path.is_file())
    assert files == [
        "CartPole-v1.zip",
        "CartPole-v1/args.yml",
        "CartPole-v1/command.txt",
        "CartPole-v1/config.yml",
        "best_model.zip",
        "card.json",
        "learning_curve.png",
        "rl_model_20_steps.zip",
    ]
    assert [path.name for path in target.parent.iterdir()] == [target.name]
    command = "python -m sb3_atari_course train --algo dqn --env CartPole-v1 -n 50 -f me"
    training = read_card(target)["training"]
    expected = {"command": command, "algorithm": "dqn", "seed": 5, "minutes": 2.5, "games": 2}
    assert {name: training[name] for name in expected} == expected
    assert training["steps"] == 50
    assert training["hyperparams"]["double_q"] is True
    assert training["noted"].endswith("when it was published")
    for path in target.rglob("*.*"):
        content = all_of(path)
        assert b"/home/me" not in content, path
        assert str(tmp_path).encode() not in content, path
    assert yaml.safe_load((target / "CartPole-v1/config.yml").read_text()) == {
        "policy": "MlpPolicy",
        "n_timesteps": 50,
        "policy_kwargs": {"net_arch": [64, 64]},
    }
    arguments = yaml.safe_load((target / "CartPole-v1/args.yml").read_text())
    assert (arguments["algo"], arguments["seed"]) == ("dqn", 5)
    assert "log_folder" not in arguments


def test_fast_dqn_run_is_published_as_dqn(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    train = ["train", "--algo", "fast_dqn", "--env", "CartPole-v1", "--seed", "1", "-n", "300"]
    train += ["--save-freq", "100", "--eval-freq", "-1", "-f", str(tmp_path / "logs")]
    settings = ["-params", "learning_starts:50", "n_steps:3", "double_q:True", "train_freq:4"]
    settings += ["gradient_steps:1"]
    assert cli(*train, *settings) == 0
    run = tmp_path / "logs" / "fast_dqn" / "CartPole-v1_1"
    to = tmp_path / "agents"
    flags = ["-n", "2", "--selection-games", "1", "--stages", "100", "200"]
    assert cli("publish", str(run), "-o", str(to), *flags) == 0
    target = to / "dqn" / "CartPole-v1_1"
    assert capsys.readouterr().out.splitlines()[-1] == f"published: {target}"
    card = read_card(target)
    assert (card["algorithm"], card["training"]["algorithm"]) == ("dqn", "fast_dqn")
    assert card["training"]["noted"].endswith("when the training began")
    assert card["training"]["versions"] == installed_versions()
    assert card["training"]["hyperparams"]["double_q"] is True
    assert card["training"]["steps"] == 300
    assert read_yml(target / "CartPole-v1" / "args.yml")["algo"] == "dqn"
    assert type(load_agent(target / "best_model.zip")) is DQN
    model = find_run("dqn", "CartPole-v1", to, load_checkpoint=100).load_model()
    assert type(model) is DQN
    assert not any(str(tmp_path).encode() in all_of(path) for path in target.rglob("*.*"))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--stages", "15"], r"\[15\] .*\[10, 20, 24, 30, 40, 50"),
        (["--seed", "4", "--selection-seed", "4"], "both 4"),
        (["-n", "0"], "--n-games/-n"),
        (["--epsilon", "1.5"], r"1\.5"),
        (["--device", "banana"], "banana"),
        (["--gym-packages", "nowhere"], "nowhere"),
    ],
)
def test_invalid_arguments_are_reported_on_one_line(
    arguments: list[str],
    message: str,
    run: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    to = tmp_path / "agents"
    assert cli("publish", str(run), "-o", str(to), *arguments) == 2
    assert re.search(message, capsys.readouterr().err.splitlines()[-1])
    assert not to.exists()


def test_checks_files_before_the_evaluations(
    run: Path, evaluated: list[tuple[str, int]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("")
    assert cli("publish", str(run), "-o", str(tmp_path / "file")) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert str(tmp_path / "file") in line
    (run / "rl_model_40_steps.zip").write_text("half a zip")
    with pytest.raises(ValueError, match=r"rl_model_40_steps\.zip"):
        publish(run, tmp_path / "agents", **GAMES)
    assert evaluated == []


def test_rejects_unfinished_runs_and_other_folders(run: Path, tmp_path: Path) -> None:
    os.remove(run / "CartPole-v1.zip")
    with pytest.raises(ValueError, match="is not finished: resume it first"):
        publish(run, tmp_path / "agents", **GAMES)
    (run / "CartPole-v1.zip").write_bytes((run / "best_model.zip").read_bytes())
    for place in ("dqn/mine", "dqn_old/CartPole-v1_3", "dqn/Acrobot-v1_3"):
        moved = run.parents[1] / place
        shutil.copytree(run, moved)
        with pytest.raises(ValueError, match=f"{place} .*is not a run folder of RL Zoo"):
            publish(moved, tmp_path / "agents", **GAMES)
    with pytest.raises(ValueError, match="nothing is not a folder"):
        publish(tmp_path / "nothing", tmp_path / "agents", **GAMES)


class SigtermCallback(BaseCallback):
    """Callback that sends SIGTERM to the training at step 4000, like a job scheduler."""

    def _on_step(self) -> bool:
        if self.num_timesteps == 4000:
            os.kill(os.getpid(), signal.SIGTERM)
        return True


@pytest.mark.services
def test_rejects_interrupted_training(tmp_path: Path) -> None:
    """RL Zoo saves a model of an interrupted training too."""
    python_m(
        *("sb3_atari_course", "train", "--algo", "q_learning", "--env", "Taxi-v4", "-n", "4000000"),
        *("--eval-freq", "-1", "-f", str(tmp_path / "logs"), "--checkpoint-freq", "2000"),
        *("-params", "callback:['tests.agents.test_publishing.SigtermCallback']"),
        status=143,
    )
    run = tmp_path / "logs" / "q_learning" / "Taxi-v4_1"
    assert (run / "Taxi-v4.zip").is_file()
    with pytest.raises(ValueError, match="is not finished: resume it first"):
        publish(run, tmp_path / "agents", **GAMES)


def test_existing_agents_are_not_overwritten(
    run: Path, evaluated: list[tuple[str, int]], tmp_path: Path
) -> None:
    target = publish(run, tmp_path / "agents", **GAMES)
    content = (target / "card.json").read_bytes()
    with pytest.raises(ValueError, match="CartPole-v1_1"):
        publish(run, tmp_path / "agents", **GAMES)
    assert (target / "card.json").read_bytes() == content


def test_interrupted_publishing_leaves_no_files(
    run: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    evaluate = Run.evaluate

    def interrupt(self: Run, *, seed: int, **kwargs: Any) -> GamesReport:
        if seed == 1000:
            raise KeyboardInterrupt
        return evaluate(self, seed=seed, **kwargs)

    monkeypatch.setattr(Run, "evaluate", interrupt)
    with pytest.raises(KeyboardInterrupt):
        publish(run, tmp_path / "agents", **GAMES)
    assert not [*(tmp_path / "agents" / "dqn").iterdir()]
    monkeypatch.undo()
    part = tmp_path / "agents" / "dqn" / "CartPole-v1_1.part"  # left by a killed process
    part.mkdir()
    (part / "old.zip").write_text("")
    target = publish(run, tmp_path / "agents", **GAMES)
    assert [path.name for path in target.parent.iterdir()] == [target.name]
    assert not (target / "old.zip").exists()


def test_publishes_run_with_uuid(
    run: Path, evaluated: list[tuple[str, int]], tmp_path: Path
) -> None:
    """And not the run with the same number."""
    renamed = run.with_name("CartPole-v1_3_28bf65b8-5e5b-4de1-b5da-3522d497669e")
    shutil.copytree(run, renamed)
    (run / "CartPole-v1.zip").unlink()
    target = publish(renamed, tmp_path / "agents", **GAMES)
    assert target == tmp_path / "agents/dqn/CartPole-v1_1"
    assert read_card(target)["training"]["seed"] == 5


def test_epsilon_device_and_gym_packages_reach_the_evaluations(
    run: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    played = []

    def evaluate(self: Run, *, n_games: int, **kwargs: Any) -> GamesReport:
        played.append((kwargs["epsilon"], kwargs["device"], "registered" in sys.modules))
        return GamesReport("CartPole-v1", (1.0,) * n_games, (1,) * n_games, (), {})

    monkeypatch.setattr(Run, "evaluate", evaluate)
    publish(run, tmp_path / "a", **GAMES)
    assert set(played) == {(None, "cpu", False)}
    played.clear()
    (tmp_path / "registered.py").touch()
    monkeypatch.syspath_prepend(tmp_path)
    flags = ["--epsilon", "0.25", "--device", "cuda:1", "--gym-packages", "registered"]
    assert cli("publish", str(run), "-o", str(tmp_path / "b"), *flags) == 0
    del sys.modules["registered"]
    assert set(played) == {(0.25, "cuda:1", True)}
    assert len(played) == 4 + 1  # candidates, and the best


def test_scores_equal_those_of_evaluate(run: Path, tmp_path: Path) -> None:
    card = read_card(publish(run, tmp_path / "agents", epsilon=0.5, **GAMES))
    again = find_run("dqn", "CartPole-v1", tmp_path / "agents").evaluate(
        seed=1000, n_games=2, epsilon=0.5
    )
    assert card["scores"]["CartPole-v1.zip"] == json.loads(json.dumps(again.as_dict()))
    assert card["scores"]["CartPole-v1.zip"]["protocol"]["epsilon"] == 0.5


def test_rejects_truncated_model(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(DQN, "load", None)  # must not be called
    path = run / "CartPole-v1.zip"
    path.write_bytes(path.read_bytes()[:5000])
    with pytest.raises(ValueError, match=r"CartPole-v1\.zip"):
        publish(run, tmp_path / "agents", **GAMES)
    assert not (tmp_path / "agents").exists()


@pytest.mark.parametrize("progress_bar", [True, False])
def test_each_evaluation_shows_its_progress_if_asked_for(
    progress_bar: bool,
    run: Path,
    evaluated: list[tuple[str, int]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    evaluate, passed = Run.evaluate, []

    def spy(self: Run, **kwargs: Any) -> GamesReport:
        passed.append(kwargs["progress_bar"])
        return evaluate(self, **kwargs)

    monkeypatch.setattr(Run, "evaluate", spy)
    publish(run, tmp_path / "agents", progress_bar=progress_bar, **GAMES)
    assert passed == [progress_bar] * len(evaluated)


def test_full_disk_leaves_no_files(
    run: Path, evaluated: list[tuple[str, int]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*args: Any, **kwargs: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(shutil, "copyfile", full)
    printed: list[str] = []
    with pytest.raises(ValueError, match=r"agents/dqn/CartPole-v1_1 .*No space left on device"):
        publish(run, tmp_path / "agents", log=printed.append, **GAMES)
    assert any(line.startswith("best_model.zip: ") for line in printed)  # the score is not lost
    assert not [*(tmp_path / "agents/dqn").iterdir()]


def test_wall_clock_is_interpolated_from_the_log(tmp_path: Path) -> None:
    assert wall_clock(tmp_path, 20) is None
    log = "time/total_timesteps,time/time_elapsed,eval/mean_reward\n10,6,\n15,,3\n20,96,\n"
    (tmp_path / "progress.csv").write_text(log)
    found = {n_steps: wall_clock(tmp_path, n_steps) for n_steps in (0, 5, 10, 15, 20, 21)}
    assert found == {0: 0.0, 5: 0.1, 10: 0.1, 15: 0.8, 20: 1.6, 21: 1.6}  # 3, 6, 51, 96 seconds
    (tmp_path / "progress.csv").write_text("time/total_timesteps,eval/mean_reward\n10,6\n")
    assert wall_clock(tmp_path, 10) is None


def test_reads_provenance(tmp_path: Path) -> None:
    assert read_provenance(tmp_path) is None
    settings = tmp_path / "CartPole-v1"
    settings.mkdir()
    provenance = {"commit": "c0ffee", "versions": {"torch": "1"}, "hardware": "an abacus"}
    (settings / PROVENANCE).write_text(json.dumps(provenance))
    assert read_provenance(tmp_path) == provenance
    for broken in ("{", "[]", "{}"):
        (settings / PROVENANCE).write_text(broken)
        with pytest.raises(ValueError, match=r"provenance\.json cannot be read: .*; remove it"):
            read_provenance(tmp_path)


ZOO, OURS = "python -m rl_zoo3.train", "python -m sb3_atari_course train"


@pytest.fixture
def _folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Set a home folder with a space in its name."""
    (tmp_path / "John Smith" / "here").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "John Smith" / "here")
    monkeypatch.setattr(Path, "home", lambda: tmp_path / "John Smith")


@pytest.mark.parametrize(
    ("command", "shown"),
    [
        ("{home}/x/bin/python -m sb3_atari_course train --seed 2", f"{OURS} --seed 2"),
        (f"{OURS} -conf /x/a.yml -f /x/logs -n 9", f"{OURS} -conf a.yml -f logs -n 9"),
        (f"{ZOO} --conf-file=/x/x.yml -n 5", f"{ZOO} --conf-file=x.yml -n 5"),
        (f"{OURS} -f {{home}}/logs -conf {{cwd}}/a.yml", f"{OURS} -f ~/logs -conf ./a.yml"),
        (f"{ZOO} --storage sqlite:///{{home}}/x.db", f"{ZOO} --storage sqlite:///~/x.db"),
        (f"{ZOO} --storage postgresql://me:TOPSECRET@host --trial-id 3",
         f"{ZOO} --storage postgresql://me@host --trial-id 3"),
        ("", ""),
    ],
)  # fmt: skip
@pytest.mark.usefixtures("_folders")
def test_shown_command_has_no_paths_or_passwords(command: str, shown: str) -> None:
    assert shown_command(command.format(home=Path.home(), cwd=Path.cwd())) == shown


@pytest.mark.usefixtures("_folders")
def test_shown_command_keeps_portable_commands() -> None:
    command = ["/x/bin/python", "-m", "x", "-f", f"{Path.cwd()}/logs", "-i=/elsewhere/a b.zip"]
    saved = " ".join(map(portable, command))
    assert saved == "python -m x -f ./logs -i=a b.zip"
    assert shown_command(saved) == saved


def test_plain_removes_tuples_paths_and_passwords() -> None:
    settings = {
        "net_arch": (64, [64]),
        "callback": [{"mine.Log": {"to": "/x/log.csv", "every": 3}}],
        "env_wrapper": "sb3_atari_course.envs.wrap_atari",
        "policy_kwargs": "dict(net_arch=[256, 256])",
        "gamma": None,
        "log": "mysql://me:TOPSECRET@host",
    }
    assert plain(settings) == {
        **settings,
        "net_arch": [64, [64]],
        "log": "mysql://me@host",
        "callback": [{"mine.Log": {"to": "log.csv", "every": 3}}],
    }
