"""Default search spaces: they apply to our yml files, and sampled hyperparameters build models."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import optuna
import pytest
import yaml
from optuna.trial import Trial

from sb3_atari_course.hyperparams import ALGORITHMS, load_hyperparams, space_file
from sb3_atari_course.tuning.space import Space, adapt_space, load_space
from sb3_atari_course.tuning.trial import TrialExperiment, write_text
from sb3_atari_course.zoo.algorithms import register_algorithms
from sb3_atari_course.zoo.yml_entry import yml_block


def entries_for(algo: str) -> dict[str, Any]:
    """Return environment -> hyperparameters of an algorithm."""
    shared = load_hyperparams("dqn") if algo == "fast_dqn" else {}
    return {**shared, **load_hyperparams(algo)}


ENTRIES = [
    (algo, env_id)
    for algo in ALGORITHMS
    for env_id in entries_for(algo)
    if env_id not in ("atari", "default")
]
#: Environments for the entries ``atari`` and ``default``.
ENTRIES += [(algo, "PongNoFrameskip-v4") for algo in ALGORITHMS if algo != "q_learning"]
ENTRIES += [("q_learning", "CliffWalkingSlippery-v1")]

#: Parameter that is sampled only with some values of a schedule.
CONDITIONAL = {
    "learning_rate": ("learning_rate_schedule", ["constant", "linear"]),
    "final_eps": ("exploration_schedule", ["episodes"]),
    "decay": ("exploration_schedule", ["episodes"]),
}


def entry_of(algo: str, env_id: str) -> dict[str, Any]:
    known = entries_for(algo)
    return dict(known.get(env_id) or known["default" if algo == "q_learning" else "atari"])


def values_of(algo: str, env_id: str) -> dict[str, Any]:
    """Return the content of the space file, read without our code."""
    content = yaml.safe_load(space_file(algo).read_text())
    is_game = "NoFrameskip" in env_id or "Deterministic" in env_id
    return dict(content.get(env_id) or content["atari" if is_game else "default"])


def ask(seed: int) -> Trial:
    return optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=seed)).ask()


def find(entry: Any, key: str) -> list[Any]:
    """Return all values of a key, at any depth."""
    if isinstance(entry, list):
        return [found for one in entry for found in find(one, key)]
    if not isinstance(entry, dict):
        return []
    here = [entry[key]] if key in entry else []
    return here + [found for one in entry.values() for found in find(one, key)]


def number(schedule: Any) -> float:
    return float(str(schedule).removeprefix("lin_"))


def kind(schedule: Any) -> str:
    if isinstance(schedule, dict):
        return "episodes"
    return {"l": "linear", "v": "visits"}.get(str(schedule)[0], "constant")


def naive(name: str, entry: dict[str, Any]) -> Any:
    """Return the value of a parameter, None if the entry has none."""
    rate, exploration = entry["learning_rate"], entry.get("exploration")
    if name == "updates_per_step":
        return entry["gradient_steps"] / (entry["train_freq"] * entry.get("n_envs", 1))
    if name == "initial_eps" and not isinstance(exploration, dict):
        return number(exploration)
    special = {
        "learning_rate_schedule": lambda: kind(rate),
        "learning_rate": lambda: None if rate == "visits" else number(rate),
        "exploration_schedule": lambda: kind(exploration),
        "gamma": lambda: entry["gamma"],
    }
    if name in special:
        return special[name]()
    keys = {"n_stack": "frame_stack" if "frame_stack" in entry else name, "repeat": "frame_skip"}
    found = find(entry, keys.get(name, name))
    assert len(found) <= 1, f"{name} is set {len(found)} times"
    return found[0] if found else None


def lies_in(value: Any, values: Any) -> bool:
    if isinstance(values, dict):
        return bool(values["low"] <= value <= values["high"])
    return value in (values if isinstance(values, list) else [values])


@pytest.mark.parametrize(("algo", "env_id"), ENTRIES)
def test_default_space_fits_our_yml_and_samples_its_values(algo: str, env_id: str) -> None:
    values = values_of(algo, env_id)
    entry = entry_of(algo, env_id)
    space = Space(algo, load_space(algo, env_id))
    assert set(space.content()) == set(values)
    seen: dict[str, set[str]] = {name: set() for name in values}
    for seed in range(10):
        suggested = space.suggest(ask(seed), entry)
        for name in values:
            value = naive(name, suggested)
            schedule, values_of_schedule = CONDITIONAL.get(name, (name, None))
            if values_of_schedule is None or naive(schedule, suggested) in values_of_schedule:
                assert lies_in(value, values[name]), (name, value)
                seen[name].add(str(value))
            else:
                assert value is None, name
        for key in ("policy", "n_timesteps", "n_envs", "env_kwargs", "replay_buffer_class"):
            assert suggested.get(key) == entry.get(key)
    for name in space.tuned():
        assert len(seen[name]) > 1, f"{name} is always {seen[name]}"


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize(
    ("algo", "env_id"),
    [
        ("dqn", "CartPole-v1"),
        ("qrdqn", "CartPole-v1"),
        ("fast_dqn", "BreakoutNoFrameskip-v4"),
        ("q_learning", "Taxi-v4"),
    ],
)
def test_sampled_hyperparameters_build_a_model(
    algo: str, env_id: str, seed: int, tmp_path: Path
) -> None:
    register_algorithms()
    content = load_space(algo, env_id)
    if algo == "fast_dqn":
        content = adapt_space(algo, content, params=["buffer_size=400", "learning_starts=16"])
    entry = Space(algo, content).suggest(ask(seed), entry_of(algo, env_id))
    file = tmp_path / "0000.yml"
    write_text(file, yml_block(env_id, entry, 5000))
    experiment = TrialExperiment(algo, env_id, file, seed=1, device="cpu")
    model: Any = experiment.build()
    experiment.close(model)
    assert experiment.n_timesteps == 5000
    for name in entry.keys() & vars(model).keys() - {"learning_rate", "train_freq", "exploration"}:
        if not name.startswith(("policy", "replay_buffer")):
            assert getattr(model, name) == entry[name], name
    rate = entry["learning_rate"]
    if rate != "visits":
        schedule = model.learning_rate if algo == "q_learning" else model.lr_schedule
        at_the_end = 0.0 if kind(rate) == "linear" else rate
        assert [schedule(left) for left in (1.0, 0.0)] == [number(rate), at_the_end]
    for name in entry["policy_kwargs"].keys() - {"features_extractor_kwargs"}:
        assert getattr(model.policy, name) == entry["policy_kwargs"][name], name
    if algo == "fast_dqn":
        kwargs = entry["env_wrapper"][0]["sb3_atari_course.envs.wrap_atari"]
        assert model.observation_space.shape == (kwargs["n_stack"], *kwargs["shape"])
        assert model.replay_buffer.n_steps == entry["replay_buffer_kwargs"]["n_steps"]
