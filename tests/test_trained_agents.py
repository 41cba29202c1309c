"""The agents in ``trained_agents/``: small, openable by everybody, as good as their cards say."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from stable_baselines3.common.save_util import load_from_zip_file

from sb3_atari_course.agents import load_agent, read_card
from sb3_atari_course.zoo.run_folder import Run, describe_machine, find_run
from tests.agents.reading import all_of
from tests.zoo.runs import python_m

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "trained_agents"
CARDS = sorted(FOLDER.glob("*/*/card.json"))
FILES = [
    pytest.param(card.parent / name, id=f"{card.parent.name}-{name}")
    for card in CARDS
    for name in read_card(card)["files"]
]
BREAKOUT = FOLDER / "dqn" / "BreakoutNoFrameskip-v4_1"
GAMES = ["BreakoutNoFrameskip-v4"]
SMALL_WORLDS = ["CartPole-v1", "LunarLander-v3", "MountainCar-v0", "Pendulum-v1"]
WORLDS = {"dqn": [*GAMES, *SMALL_WORLDS], "q_learning": ["Taxi-v4"]}
MOST_BYTES = 60_000_000


def find(file: Path) -> Run:
    """Find the run of a file as ``enjoy`` and ``evaluate`` do."""
    folder, algo = file.parent, file.parents[1].name
    env_id = folder.name.removesuffix("_1")
    steps = re.fullmatch(r"rl_model_(\d+)_steps", file.stem)
    run = find_run(
        algo,
        env_id,
        FOLDER,
        load_best=file.stem == "best_model",
        load_checkpoint=int(steps[1]) if steps else None,
    )
    assert run.model_path == file
    return run


def test_every_world_is_there_and_all_of_it_is_small() -> None:
    for algo, worlds in WORLDS.items():
        assert sorted(path.name for path in (FOLDER / algo).iterdir()) == [f"{w}_1" for w in worlds]
    files = [path for path in FOLDER.rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) <= MOST_BYTES
    assert len([*BREAKOUT.glob("rl_model_*_steps.zip")]) == 3


@pytest.mark.parametrize("path", CARDS, ids=lambda path: path.parent.name)
def test_a_card_tells_where_its_agents_come_from_and_that_the_best_is_played(path: Path) -> None:
    card = read_card(path)
    training = card["training"]
    assert training["command"].startswith("python -m sb3_atari_course train --")
    assert re.fullmatch(r"[0-9a-f]{40}", training["commit"])
    assert training["versions"]["torch"].startswith("2.13.0")
    assert " cores, " in training["hardware"]
    assert isinstance(training["seed"], int)
    for name in ("minutes", "steps", "games"):
        assert training[name] > 0
    assert set(card["scores"]) == set(card["files"])
    assert training["noted"].startswith("commit, versions and hardware: when ")
    n_games = 30 if "Breakout" in path.parent.name else 100
    for report in card["scores"].values():
        assert len(report["scores"]) == n_games
        assert report["protocol"]["seed"] != card["selection"]["seed"]
        assert report["mean"] == pytest.approx(np.mean(report["scores"]))
    assert (path.parent / "learning_curve.png").read_bytes().startswith(b"\x89PNG")
    means = card["selection"]["means"]
    assert means[card["selection"]["chosen"]] == max(means.values())
    name = f"{card['env_id']}.zip"
    assert card["files"][name] == card["files"]["best_model.zip"]


@pytest.mark.parametrize("file", FILES)
def test_it_opens_without_unpickling_and_plays_as_with_it(file: Path) -> None:
    safe, run = load_agent(file, device="cpu"), find(file)
    model = run.load_model("cpu")
    space = model.observation_space
    space.seed(0)
    looks = np.array([space.sample() for _ in range(20)])
    expected = model.predict(looks, deterministic=True)[0]
    assert (safe.predict(looks, deterministic=True)[0] == expected).all()


@pytest.mark.parametrize("file", FILES)
def test_it_holds_no_optimiser_each_tensor_once_and_the_epsilon_of_its_card(file: Path) -> None:
    data, parameters, _ = load_from_zip_file(file, device="cpu")
    assert data is not None
    if "exploration_final_eps" in data:  # else a table
        assert data["exploration_rate"] == read_card(file.parent)["exploration_rate"]
    assert parameters.get("policy.optimizer", {"state": {}})["state"] == {}
    policy = parameters["policy"]
    for name, tensor in policy.items():
        if "_target." in name:
            online = policy[name.replace("_target.", ".")]
            assert tensor.data_ptr() == online.data_ptr(), name


@pytest.mark.parametrize("path", CARDS, ids=lambda path: path.parent.name)
def test_its_settings_are_stock_and_tell_nothing_of_the_machine(path: Path) -> None:
    settings = path.parent / read_card(path)["env_id"]
    config = yaml.safe_load((settings / "config.yml").read_text())
    assert not {"double_q", "compile", "callback"} & set(config)
    assert yaml.safe_load((settings / "args.yml").read_text())["algo"] == path.parents[1].name
    for file in path.parent.rglob("*"):
        if file.is_file():
            assert not re.search(rb"/(root|home|work|tmp|Users|mnt)/", all_of(file)), file


def score_of(card: dict[str, Any], file: str) -> str:
    """Return how our documents write a score."""
    report = card["scores"][file]
    return f"{report['mean']:.1f} +- {report['std']:.1f}"


@pytest.mark.parametrize("file", FILES)
def test_the_results_say_what_the_cards_say(file: Path) -> None:
    card = read_card(file.parent)
    text = (ROOT / "docs" / "results.md").read_text()
    (row,) = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in text.splitlines()
        if line.startswith(f"| {card['env_id']}") and f"`{file.name}`" in line
    ]
    source = "best_model.zip" if file.stem == card["env_id"] else file.name
    agent = card["training"]["agents"][source]
    random_mean = card["scores"][file.name]["random_mean"]
    assert row[2:7] == [
        score_of(card, file.name),
        f"{random_mean:.1f}",
        f"{agent['steps']:,}",
        f"{agent['minutes']:.1f}",
        f"{card['training']['seed']}",
    ]


def test_the_readme_says_what_the_card_of_breakout_says() -> None:
    card = read_card(BREAKOUT)
    (row,) = [
        line
        for line in (ROOT / "README.md").read_text().splitlines()
        if line.startswith("| Breakout, the best agent")
    ]
    for file in card["training"]["agents"]:
        assert score_of(card, file) in row


@pytest.mark.services
def test_stock_rl_zoo_shows_breakout(tmp_path: Path) -> None:
    first = min(int(path.stem.split("_")[2]) for path in BREAKOUT.glob("rl_model_*_steps.zip"))
    which = ["--algo", "dqn", "--env", "BreakoutNoFrameskip-v4", "-f", str(FOLDER), "-n", "3000"]
    for stage in ([], ["--load-best"], ["--load-checkpoint", str(first)]):
        printed = python_m("rl_zoo3.enjoy", *which, "--no-render", *stage, cwd=tmp_path)
        assert "Atari Episode Score" in printed


@pytest.mark.slow
@pytest.mark.parametrize("file", FILES)
def test_it_scores_what_its_card_says(file: Path) -> None:
    """Equal to the point where it was made; elsewhere rounding may lead into other games."""
    card = read_card(file.parent)
    told = card["scores"][file.name]
    n_games, seed = told["protocol"]["n_games"], told["protocol"]["seed"]
    report = find(file).evaluate(seed=seed, n_games=n_games, random_play=False, device="cpu")
    if describe_machine() == card["training"]["hardware"]:
        assert [*report.scores] == told["scores"]
    error = math.hypot(told["std"], report.std) / math.sqrt(n_games)
    # a card may be older than some lines of a protocol
    assert {key: report.protocol[key] for key in told["protocol"]} == told["protocol"]
    assert abs(report.mean - told["mean"]) <= 3 * error
