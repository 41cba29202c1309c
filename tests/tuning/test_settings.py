"""What all trials of a study share."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from sb3_atari_course.tuning.settings import StudySettings

SETTINGS = StudySettings(
    algo="dqn",
    env_id="CartPole-v1",
    hyperparams={"policy": "MlpPolicy", "policy_kwargs": {"net_arch": [64, 64]}, "gamma": 0.99},
    space={"gamma": [0.9, 0.99], "learning_rate": {"low": 0.0001, "high": 0.01, "log": True}},
    n_timesteps=1000,
)


class TestStoring:
    def test_they_come_back_from_json(self) -> None:
        other = replace(SETTINGS, seed=3, epsilon=0.05, sampler="random", gym_packages=("a",))
        for settings in (SETTINGS, other):
            stored = json.loads(json.dumps(settings.as_dict()))
            assert StudySettings.from_dict(stored) == settings

    def test_everything_is_stored(self) -> None:
        assert SETTINGS.as_dict() == {
            "algo": "dqn",
            "env_id": "CartPole-v1",
            "hyperparams": {
                "policy": "MlpPolicy",
                "policy_kwargs": {"net_arch": [64, 64]},
                "gamma": 0.99,
            },
            "space": {
                "gamma": [0.9, 0.99],
                "learning_rate": {"low": 0.0001, "high": 0.01, "log": True},
            },
            "n_timesteps": 1000,
            "seed": 0,
            "n_repeats": 1,
            "n_evaluations": 4,
            "n_games": 20,
            "epsilon": 0.0,
            "max_frames": 108_000,
            "sampler": "tpe",
            "n_startup_trials": 10,
            "pruner": "median",
            "native": False,
            "gym_packages": (),
        }

    def test_what_is_stored_is_a_copy(self) -> None:
        SETTINGS.as_dict()["space"]["gamma"].append(1.0)
        assert SETTINGS.space["gamma"] == [0.9, 0.99]

    def test_another_version_is_named(self) -> None:
        stored = SETTINGS.as_dict()
        older = {name: stored[name] for name in stored if name != "native"}
        for content in (older, {**stored, "n_envs": 4}, {}):
            with pytest.raises(ValueError, match="begun by another version of sb3_atari_course"):
                StudySettings.from_dict(content)

    def test_what_is_stored_is_checked(self) -> None:
        with pytest.raises(ValueError, match="n_games must be at least 1, got 0"):
            StudySettings.from_dict({**SETTINGS.as_dict(), "n_games": 0})


class TestSameStudy:
    def test_equal_settings_pass(self) -> None:
        SETTINGS.check_same("s", StudySettings.from_dict(SETTINGS.as_dict()))

    @pytest.mark.parametrize(
        ("changes", "message"),
        [
            (
                {"algo": "qrdqn"},
                "study 's' is of dqn on CartPole-v1, not qrdqn on CartPole-v1:"
                " choose another --study-name",
            ),
            (
                {"env_id": "MountainCar-v0", "space": {}, "n_timesteps": 5},
                "study 's' is of dqn on CartPole-v1, not dqn on MountainCar-v0:"
                " choose another --study-name",
            ),
            (
                {"hyperparams": {"policy": "MlpPolicy", "policy_kwargs": {}, "batch_size": 32}},
                "study 's' was begun with other hyperparams: policy_kwargs, gamma, batch_size"
                ": choose another --study-name",
            ),
            (
                {"space": {**SETTINGS.space, "gamma": 0.99}, "seed": 7},
                "study 's' was begun with other space: gamma: choose another --study-name",
            ),
            (
                {"n_timesteps": 2000},
                "study 's' was begun with n_timesteps 1000, not 2000: choose another --study-name",
            ),
            (
                {"native": True},
                "study 's' was begun with native False, not True: choose another --study-name",
            ),
        ],
    )
    def test_what_differs_is_told(self, changes: dict[str, Any], message: str) -> None:
        with pytest.raises(ValueError, match=r"choose another --study-name$") as caught:
            replace(SETTINGS, **changes).check_same("s", SETTINGS)
        assert str(caught.value) == message


class TestRefusals:
    @pytest.mark.parametrize(
        "name", ["n_timesteps", "n_repeats", "n_evaluations", "n_games", "max_frames"]
    )
    def test_a_count_is_at_least_one(self, name: str) -> None:
        assert getattr(replace(SETTINGS, **{name: 1}), name) == 1
        with pytest.raises(ValueError, match=f"{name} must be at least 1, got 0"):
            replace(SETTINGS, **{name: 0})
        with pytest.raises(TypeError, match=f"{name} must be an integer of at least 1, got 2.0"):
            replace(SETTINGS, **{name: 2.0})

    @pytest.mark.parametrize("name", ["seed", "n_startup_trials"])
    def test_a_seed_is_at_least_zero(self, name: str) -> None:
        assert getattr(replace(SETTINGS, **{name: 0}), name) == 0
        with pytest.raises(ValueError, match=f"{name} must be at least 0, got -1"):
            replace(SETTINGS, **{name: -1})

    @pytest.mark.parametrize("native", ["no", 1, None])
    def test_native_is_a_flag(self, native: Any) -> None:
        with pytest.raises(TypeError, match=f"native must be True or False, got {native!r}"):
            replace(SETTINGS, native=native)

    @pytest.mark.parametrize("epsilon", [-0.01, 1.01, float("nan")])
    def test_epsilon_is_a_probability(self, epsilon: float) -> None:
        assert [replace(SETTINGS, epsilon=edge).epsilon for edge in (0.0, 1.0)] == [0.0, 1.0]
        with pytest.raises(ValueError, match=f"epsilon must be .*got {epsilon}"):
            replace(SETTINGS, epsilon=epsilon)

    @pytest.mark.parametrize(
        ("changes", "message"),
        [
            ({"algo": "ppo"}, r"algo is one of \('dqn', 'qrdqn', .*'q_learning'\), got 'ppo'"),
            ({"sampler": "grid"}, r"sampler is one of \('tpe', 'random'\), got 'grid'"),
            ({"pruner": "mean"}, r"pruner is one of \('median', 'none'\), got 'mean'"),
        ],
    )
    def test_an_unknown_word_is_named(self, changes: dict[str, Any], message: str) -> None:
        with pytest.raises(ValueError, match=message):
            replace(SETTINGS, **changes)

    @pytest.mark.parametrize(
        ("key", "value"),
        [
            ("normalize", True),
            ("normalize", "{'norm_obs': True}"),
            ("vec_env_wrapper", ["stable_baselines3.common.vec_env.VecMonitor"]),
        ],
    )
    def test_what_an_evaluation_does_not_know_is_refused(self, key: str, value: Any) -> None:
        with pytest.raises(ValueError, match=f"the yml has {key}: .* evaluate_games does not"):
            replace(SETTINGS, hyperparams={key: value})
        assert replace(SETTINGS, hyperparams={key: None}).hyperparams == {key: None}
        assert replace(SETTINGS, hyperparams={"normalize": False}).algo == "dqn"
