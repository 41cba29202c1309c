"""Run folders of RL Zoo: finding, reading, evaluating."""

from __future__ import annotations

import os
import shutil
import zipfile
from collections import OrderedDict
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from stable_baselines3 import DQN
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.vec_env import VecFrameStack, VecNormalize

from sb3_atari_course import evaluate_games
from sb3_atari_course.zoo.run_folder import check_model, find_folder, find_run, run_number


def make_run(folder: Path, hyperparams: object, args: object, *, number: int | str = 1) -> None:
    settings = folder / f"dqn/CartPole-v1_{number}/CartPole-v1"
    settings.mkdir(parents=True)
    (settings / "config.yml").write_text(yaml.dump(hyperparams))
    (settings / "args.yml").write_text(yaml.dump(args))
    (settings.parent / "CartPole-v1.zip").touch()


def test_reads_settings_of_rl_zoo(tmp_path: Path) -> None:
    hyperparams = OrderedDict(
        train_freq=(4, "step"), env_kwargs={"a": 1, "b": 1}, policy_kwargs={"c": torch.optim.Adam}
    )
    make_run(tmp_path, hyperparams, OrderedDict(algo="dqn", env_kwargs={"a": 2}))
    run = find_run("dqn", "CartPole-v1", tmp_path)
    as_string = {"policy_kwargs": {"c": "torch.optim.adam.Adam"}}  # nothing is imported
    assert run.hyperparams == {**hyperparams, **as_string}
    assert run.env_kwargs == {"a": 2, "b": 1}
    assert run.model_path == tmp_path / "dqn/CartPole-v1_1/CartPole-v1.zip"


def test_loads_n_step_model_without_warning(tmp_path: Path) -> None:
    """SB3 warns that a saved replay_buffer_class ignores n_steps, even the one it chose itself."""
    make_run(tmp_path, {}, {})
    run = find_run("dqn", "CartPole-v1", tmp_path)
    DQN("MlpPolicy", "CartPole-v1", n_steps=3, buffer_size=10).save(run.model_path)
    assert isinstance(run.load_model(), DQN)


def test_yml_tags_execute_no_code(tmp_path: Path) -> None:
    make_run(tmp_path, {}, {})
    config = tmp_path / "dqn/CartPole-v1_1/CartPole-v1/config.yml"
    canary = tmp_path / "canary"
    config.write_text(f"!!python/object/apply:os.mkdir ['{canary}']")
    with pytest.raises(ValueError, match=r"config\.yml.*could not determine a constructor"):
        find_run("dqn", "CartPole-v1", tmp_path)
    assert not canary.exists()
    yaml.load(config.read_text(), Loader=yaml.UnsafeLoader)
    assert canary.exists()  # the payload works


def test_rejects_vec_env_wrapper_and_missing_vecnormalize(tmp_path: Path) -> None:
    make_run(tmp_path, {"vec_env_wrapper": "my.Wrapper"}, {})
    with pytest.raises(ValueError, match=r"my\.Wrapper.*sb3-atari enjoy"):
        find_run("dqn", "CartPole-v1", tmp_path).env_wrapper()
    make_run(tmp_path, {"normalize": True}, {}, number=2)
    with pytest.raises(ValueError, match=r"CartPole-v1_2/CartPole-v1/vecnormalize\.pkl is missing"):
        find_run("dqn", "CartPole-v1", tmp_path).env_wrapper()


def test_evaluates_with_the_wrappers_of_training(tmp_path: Path) -> None:
    """RL Zoo's normalize, frame_stack of vector observations, and a TimeLimit in env_wrapper."""
    limit = {"gymnasium.wrappers.TimeLimit": {"max_episode_steps": 7}}
    make_run(tmp_path, {"normalize": True, "frame_stack": 2, "env_wrapper": [limit]}, {})
    run = find_run("dqn", "CartPole-v1", tmp_path)
    venv = VecFrameStack(VecNormalize(make_vec_env("CartPole-v1", 2, seed=0)), 2)
    model = DQN("MlpPolicy", venv, buffer_size=10, seed=0)
    venv.reset()
    for _ in range(20):
        venv.step(np.array([0, 1]))
    model.save(run.model_path)
    statistics = model.get_vec_normalize_env()
    assert statistics is not None
    statistics.save(str(run.settings / "vecnormalize.pkl"))
    report = run.evaluate(seed=0, n_games=3)
    assert report.lengths == (7, 7, 7)
    assert report.protocol["max_steps"] == 7
    expected = evaluate_games(model, "CartPole-v1", n_games=3, seed=0, epsilon=0.0)
    assert run.evaluate(seed=0, n_games=3, max_frames=5).lengths == (5, 5, 5)
    unlimited = replace(run, hyperparams={**run.hyperparams, "env_wrapper": None})
    assert unlimited.evaluate(seed=0, n_games=3).scores == expected.scores


UUIDS = ("28bf65b8-5e5b-4de1-b5da-3522d497669e", "6a71f645-80c5-47cc-b90c-3490f11f7f0a")


def make_runs_with_uuid(logs: Path) -> tuple[Path, Path]:
    """Create two runs with ``--uuid`` and ``CartPole-v1_1``; the later one sorts first by name."""
    make_run(logs, {}, {})
    runs = []
    for i, uuid in enumerate(UUIDS):
        make_run(logs, {"gamma": i}, {}, number=f"1_{uuid}")
        runs.append(logs / f"dqn/CartPole-v1_1_{uuid}")
        started = 2_000_000_000 - i
        os.utime(runs[-1] / "CartPole-v1/args.yml", (started, started))
    return runs[0], runs[1]


def test_finds_runs_with_uuid(tmp_path: Path) -> None:
    """RL Zoo gives all of them the number 1: the one that started last is the latest."""
    later, earlier = make_runs_with_uuid(tmp_path)
    assert find_run("dqn", "CartPole-v1", tmp_path).folder == later
    assert find_folder("dqn", "CartPole-v1", tmp_path) == later
    plain = tmp_path / "dqn/CartPole-v1_1"
    for chosen in (later, earlier, plain):
        number = chosen.name.removeprefix("CartPole-v1_")
        assert run_number(chosen) == number
        assert find_run("dqn", "CartPole-v1", tmp_path, exp_id=number).folder == chosen
        assert find_folder("dqn", "CartPole-v1", tmp_path, exp_id=number) == chosen
    assert find_run("dqn", "CartPole-v1", tmp_path, exp_id=1).folder == plain
    shutil.rmtree(plain)
    assert find_run("dqn", "CartPole-v1", tmp_path, exp_id=1).folder == later


def test_higher_number_wins_over_later_start(tmp_path: Path) -> None:
    make_runs_with_uuid(tmp_path)
    make_run(tmp_path, {}, {}, number=2)
    make_run(tmp_path, {}, {}, number=10)
    os.utime(tmp_path / "dqn/CartPole-v1_10/CartPole-v1/args.yml", (0, 0))
    assert find_run("dqn", "CartPole-v1", tmp_path).folder.name == "CartPole-v1_10"


def test_ignores_other_folders_and_files(tmp_path: Path) -> None:
    make_run(tmp_path, {}, {})
    names = ["v1_x", "v1_1_extra", "v10_5", "v1_7.part"]
    for name in [*(f"CartPole-{name}" for name in names), "My-CartPole-v1_6"]:
        (tmp_path / "dqn" / name).mkdir()
    (tmp_path / "dqn/CartPole-v1_2").touch()
    assert find_folder("dqn", "CartPole-v1", tmp_path).name == "CartPole-v1_1"
    assert find_run("dqn", "CartPole-v1", tmp_path).folder.name == "CartPole-v1_1"


def test_skipped_newer_runs_are_printed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for number in (1, 2, 3):
        make_run(tmp_path, {}, {}, number=number)
    for number in (2, 3):
        (tmp_path / f"dqn/CartPole-v1_{number}/CartPole-v1.zip").unlink()
    lines = [
        "CartPole-v1_3 has no model yet: using CartPole-v1_1",
        "CartPole-v1_2 has no model yet: using CartPole-v1_1",
    ]
    assert find_run("dqn", "CartPole-v1", tmp_path).folder.name == "CartPole-v1_1"
    assert capsys.readouterr().err.splitlines() == lines
    assert find_folder("dqn", "CartPole-v1", tmp_path).name == "CartPole-v1_1"
    assert capsys.readouterr().err.splitlines() == lines
    assert find_folder("dqn", "CartPole-v1", tmp_path, exp_id=3).name == "CartPole-v1_3"
    assert find_run("dqn", "CartPole-v1", tmp_path, exp_id=1).folder.name == "CartPole-v1_1"
    assert capsys.readouterr().err == ""


def test_finds_latest_run_with_the_requested_model(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for number in (1, 2, 3):
        make_run(tmp_path, {}, {}, number=number)
    for file in ("1/best_model", "1/rl_model_9_steps", "2/rl_model_9_steps", "2/rl_model_10_steps"):
        (tmp_path / f"dqn/CartPole-v1_{file}.zip").touch()

    def find(**which: Any) -> str:
        found = find_run("dqn", "CartPole-v1", tmp_path, **which)
        return f"{found.folder.name[-1]}/{found.model_path.stem}"

    assert find() == "3/CartPole-v1"
    assert find(load_best=True, load_checkpoint=10) == "1/best_model"  # as in RL Zoo
    assert find(load_checkpoint=9) == "2/rl_model_9_steps"
    assert find(load_last_checkpoint=True) == "2/rl_model_10_steps"
    printed = capsys.readouterr().err.splitlines()
    assert "CartPole-v1_2 has no best model yet: using CartPole-v1_1" in printed
    assert "CartPole-v1_3 has no saved model after 9 steps yet: using CartPole-v1_2" in printed


@pytest.mark.parametrize(
    ("algo", "env_id", "which", "named"),
    [
        ("dqn", "CartPole-v1", {"load_checkpoint": 500}, r"500 .*v1_3: none; .*v1_1: \[20, 100\]"),
        ("dqn", "CartPole-v1", {"exp_id": 3, "load_last_checkpoint": True}, "CartPole-v1_3: none"),
        ("dqn", "CartPole-v1", {"load_best": True}, "best_model.*--eval-freq"),
        ("dqn", "CartPole-v1", {"exp_id": 3}, "No model found .*CartPole-v1_3.*train first"),
        ("dqn", "CartPole-v1", {"exp_id": 2}, "CartPole-v1_2 .*CartPole-v1_1, CartPole-v1_3"),
        ("dqn", "Acrobot-v1", {}, "Acrobot-v1"),
        ("a2c", "CartPole-v1", {}, "a2c folder was not found"),
        ("alphago", "CartPole-v1", {}, "unknown algo 'alphago': one of a2c"),
    ],
)
def test_missing_model_error_lists_existing_ones(
    algo: str, env_id: str, which: dict[str, Any], named: str, tmp_path: Path
) -> None:
    for number in (1, 3):
        make_run(tmp_path, {}, {}, number=number)
    (tmp_path / "dqn/CartPole-v1_3/CartPole-v1.zip").unlink()
    for steps in (100, 20):
        (tmp_path / f"dqn/CartPole-v1_1/rl_model_{steps}_steps.zip").touch()
    with pytest.raises(ValueError, match=named):
        find_run(algo, env_id, tmp_path, **which)


def test_missing_folder_is_named(tmp_path: Path) -> None:
    make_run(tmp_path, {}, {})
    with pytest.raises(ValueError, match=r"CartPole-v1_2 .*CartPole-v1_1"):
        find_folder("dqn", "CartPole-v1", tmp_path, exp_id=2)
    with pytest.raises(ValueError, match="Acrobot-v1"):
        find_folder("dqn", "Acrobot-v1", tmp_path)


def test_finds_run_without_a_number(tmp_path: Path) -> None:
    make_run(tmp_path, {}, {})
    flat = tmp_path / "flat/dqn"
    (tmp_path / "dqn/CartPole-v1_1").rename(flat.parent.mkdir() or flat)
    for exp_id in (0, -1):
        assert find_run("dqn", "CartPole-v1", tmp_path / "flat", exp_id=exp_id).folder == flat
    assert find_folder("dqn", "CartPole-v1", tmp_path / "flat", exp_id=-1) == flat


@pytest.mark.parametrize("file", ["config.yml", "args.yml"])
@pytest.mark.parametrize(
    "content",
    [
        *("", "- a\n- b\n", "just text", "a: [", "\x00", "a: !!int x", "a: 2026-99-99"),
        *("a: !!python/object/apply:collections.OrderedDict []", "env_kwargs: 3", b"\xff\xfe\xfa"),
    ],
)
def test_rejects_unreadable_settings_on_one_line(
    file: str, content: str | bytes, tmp_path: Path
) -> None:
    make_run(tmp_path, {}, {})
    path = tmp_path / "dqn/CartPole-v1_1/CartPole-v1" / file
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(ValueError, match=file) as caught:
        find_run("dqn", "CartPole-v1", tmp_path)
    assert "\n" not in str(caught.value)


def test_rejects_damaged_model(tmp_path: Path) -> None:
    path = tmp_path / "model.zip"
    DQN("MlpPolicy", "CartPole-v1", buffer_size=10, device="cpu").save(path)
    check_model(path)
    content = path.read_bytes()
    name = content.index(b"policy.pth") + 2000
    damaged = content[:name] + bytes([content[name] ^ 255]) + content[name + 1 :]
    for wrong in (b"", content[:-1], content[: len(content) // 2], b"not a zip", damaged):
        path.write_bytes(wrong)
        with pytest.raises(ValueError, match=r"model\.zip"):
            check_model(path)
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("something", "else")
    with pytest.raises(ValueError, match=r"model\.zip"):
        check_model(path)
