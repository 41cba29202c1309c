"""Player of a single environment: spaces, observations as in training, recurrent state."""

from __future__ import annotations

from functools import partial
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium import spaces
from sb3_contrib import MaskablePPO, RecurrentPPO
from stable_baselines3 import DQN, PPO
from stable_baselines3.common.atari_wrappers import AtariWrapper
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.vec_env import VecEnv, VecFrameStack, VecNormalize

from sb3_atari_course import QLearning, evaluate_games, make_atari_env, wrap_atari
from sb3_atari_course.course.breakout import watch_games
from sb3_atari_course.course.toy_text import draw_policy, evaluate_exactly, play_episode
from sb3_atari_course.evaluation.player import Player, check_spaces, fit_to_model
from sb3_atari_course.report.video import record_game
from tests.fakes import ScriptedPlayer

BREAKOUT = "BreakoutNoFrameskip-v4"


class CountingModel:
    """Recurrent model whose state counts the observations since the start of an episode."""

    def __init__(self) -> None:
        self.calls: list[tuple[int, bool]] = []  # of the first environment

    def predict(
        self,
        observation: Any,
        state: Any = None,
        episode_start: Any = None,
        deterministic: bool = False,
    ) -> Any:
        counts = np.zeros(len(observation), int) if state is None else state * ~episode_start
        self.calls.append((int(counts[0]), bool(episode_start[0])))
        return np.zeros(len(observation), np.int64), counts + 1


@pytest.fixture(scope="module")
def recurrent() -> RecurrentPPO:
    """Return a policy whose actions depend on its recurrent state."""
    kwargs = {"lstm_hidden_size": 16}
    model = RecurrentPPO(
        *("MlpLstmPolicy", "CartPole-v1"),
        n_steps=128,
        batch_size=128,
        n_epochs=2,
        seed=0,
        learning_rate=3e-3,
        policy_kwargs=kwargs,
    )
    return model.learn(1024)


def reference_game(model: Any, seed: list[int]) -> tuple[float, list[int]]:
    """Return score and actions of one episode of CartPole, played with SB3's API."""
    env = gym.make("CartPole-v1")
    obs, _ = env.reset(seed=int(np.random.default_rng(seed).integers(2**31)))
    state, start, score, over, actions = None, np.ones(1, bool), 0.0, False, []
    while not over:
        action, state = model.predict(obs[None], state, start, deterministic=True)
        start = np.zeros(1, bool)
        obs, reward, terminated, truncated, _ = env.step(int(action[0]))
        actions.append(int(action[0]))
        score, over = score + float(reward), terminated or truncated
    return score, actions


class TestRecurrentState:
    def test_scores_match_a_loop_that_passes_the_state(self, recurrent: RecurrentPPO) -> None:
        report = evaluate_games(
            recurrent, "CartPole-v1", n_games=5, seed=0, epsilon=0.0, random_play=False
        )
        expected = [reference_game(recurrent, [0, game])[0] for game in range(5)]
        assert list(report.scores) == expected
        assert len(set(expected)) > 1

    def test_video_records_the_same_game(self, recurrent: RecurrentPPO) -> None:
        env = gym.make("CartPole-v1", render_mode="rgb_array")
        assert (
            record_game(recurrent, env, seed=(0, 1)).score == reference_game(recurrent, [0, 1])[0]
        )

    def test_state_resets_per_game_and_updates_on_random_actions(self) -> None:
        model = CountingModel()
        report = evaluate_games(
            model, "CartPole-v1", n_games=2, seed=0, epsilon=0.5, random_play=False, n_envs=1
        )
        first, second = report.lengths
        expected = [(step, step == 0) for length in (first, second) for step in range(length)]
        assert model.calls == expected

    def test_random_play_does_not_call_the_model(self) -> None:
        model = CountingModel()
        report = evaluate_games(model, "CartPole-v1", n_games=1, seed=0, epsilon=0.0)
        assert len(model.calls) == report.lengths[0]

    def test_life_loss_starts_an_episode(self) -> None:
        watched, evaluated = CountingModel(), CountingModel()
        watch_games(watched, n_games=1, seed=0)
        evaluate_games(evaluated, BREAKOUT, n_games=1, seed=0, epsilon=0.0, random_play=False)
        for model in (watched, evaluated):
            starts = [i for i, (_, is_start) in enumerate(model.calls) if is_start]
            assert len(starts) == 5  # one for each life
            assert all(model.calls[i][0] == 0 for i in starts)

    def test_text_episode_passes_the_state(self) -> None:
        model = CountingModel()
        play_episode(model, "FrozenLake-v1", seed=0, max_steps=5)
        assert [count for count, _ in model.calls] == list(range(len(model.calls)))

    def test_rejects_models_that_do_not_accept_their_state(self) -> None:
        class StateDroppingModel(ScriptedPlayer):
            def predict(self, observation: Any, *, deterministic: bool = False) -> Any:
                return np.zeros(len(observation), np.int64), np.zeros(1)

        with pytest.raises(ValueError, match="state"):
            evaluate_games(StateDroppingModel([0]), "CartPole-v1", n_games=1, seed=0)
        for function in (evaluate_exactly, draw_policy):
            with pytest.raises(ValueError, match="recurrent"):
                function(StateDroppingModel([0]), "FrozenLake-v1")

    def test_stateless_models_are_called_without_state(self) -> None:
        player = ScriptedPlayer([0])  # predict() has neither state nor episode_start
        acting = Player(player)
        assert not acting.is_recurrent
        assert acting.act({0: np.zeros(4)}) == {0: 0}


class TestSpaces:
    def test_rejects_other_action_spaces(self) -> None:
        model = DQN("CnnPolicy", make_atari_env(BREAKOUT), buffer_size=1)
        more: dict[str, Any] = {"full_action_space": True}
        env = wrap_atari(gym.make(BREAKOUT, render_mode="rgb_array", **more), n_stack=4)
        for play in (
            lambda: evaluate_games(model, BREAKOUT, seed=0, env_kwargs=more),
            lambda: watch_games(model, seed=0, env_kwargs=more),
            lambda: record_game(model, env),
        ):
            with pytest.raises(ValueError, match=r"Discrete\(4\).*Discrete\(18\)"):
                play()

    @pytest.mark.parametrize("function", [evaluate_exactly, draw_policy, play_episode])
    def test_rejects_q_table_of_another_environment(self, function: Any) -> None:
        model = QLearning("QTablePolicy", "FrozenLake-v1")
        with pytest.raises(ValueError, match=r"Discrete\(16\).*Discrete\(48\)"):
            function(model, "CliffWalking-v1")

    def test_rejects_other_bounds_and_dtypes(self) -> None:
        model = PPO("MlpPolicy", "Pendulum-v1", n_steps=8, batch_size=8)
        check_spaces(model, model.observation_space, model.action_space)
        for other in (spaces.Box(-1, 1, (3,)), spaces.Box(-8, 8, (3,), np.float64)):
            with pytest.raises(ValueError, match="Box"):
                check_spaces(model, other, model.action_space)

    def test_accepts_channels_last_images(self) -> None:
        model = DQN("CnnPolicy", make_atari_env(BREAKOUT), buffer_size=1)
        check_spaces(model, spaces.Box(0, 255, (84, 84, 4), np.uint8), spaces.Discrete(4))

    def test_does_not_stack_observations_with_other_bounds(self) -> None:
        """LunarLander has 8 observed values and CartPole 4, with different bounds."""

        class LanderPlayer(ScriptedPlayer):
            observation_space = spaces.Box(-10, 10, (8,))

        with pytest.raises(ValueError, match=r"\(8,\).*\(4,\)"):
            evaluate_games(LanderPlayer([0]), "CartPole-v1", seed=0)

    def test_rejects_models_that_need_action_masks(self) -> None:
        class Masked(gym.Wrapper[Any, Any, Any, Any]):
            def action_masks(self) -> list[bool]:
                return [True, False]

        model = MaskablePPO("MlpPolicy", "CartPole-v1", n_steps=8, batch_size=8)
        with pytest.raises(ValueError, match="MaskablePPO needs action masks"):
            evaluate_games(model, "CartPole-v1", seed=0, env_wrapper=Masked)
        evaluate_games(model, "CartPole-v1", n_games=1, seed=0, random_play=False)

    def test_rejects_invalid_env_wrapper_and_env_kwargs(self) -> None:
        play = partial(evaluate_games, ScriptedPlayer([0]), BREAKOUT, seed=0)
        for wrong in ("wrap_atari", lambda env: None):
            with pytest.raises(TypeError, match="env_wrapper"):
                play(env_wrapper=wrong)  # type: ignore[arg-type]
        for env_kwargs, error, named in (
            (["x"], TypeError, r"\['x'\]"),
            ({"modes": 1}, TypeError, "modes=1"),
            ({"mode": 99}, ValueError, "'mode': 99"),
        ):
            with pytest.raises(error, match=named):
                play(env_kwargs=env_kwargs)  # type: ignore[arg-type]

    def test_rejects_invalid_models_and_environments(self) -> None:
        with pytest.raises(TypeError, match=r"model must .* got 'dqn\.zip'"):
            evaluate_games("dqn.zip", "CartPole-v1", seed=0)  # type: ignore[arg-type]
        with pytest.raises(TypeError, match="id"):
            evaluate_games(ScriptedPlayer([0]), gym.make("CartPole-v1"), seed=0)  # type: ignore[arg-type]
        with pytest.raises(TypeError, match="'CartPole-v1'"):
            record_game(ScriptedPlayer([0]), "CartPole-v1")  # type: ignore[arg-type]


def normalized(venv: VecEnv) -> VecNormalize:
    """Return a VecNormalize whose statistics are far from 0 and 1."""
    normalize = VecNormalize(venv, training=False)
    rng = np.random.default_rng(0)
    assert not isinstance(normalize.obs_rms, dict)
    normalize.obs_rms.mean = rng.normal(size=normalize.obs_rms.mean.shape)
    normalize.obs_rms.var = rng.uniform(0.1, 4.0, size=normalize.obs_rms.var.shape)
    return normalize


class TestObservations:
    @pytest.mark.parametrize(
        "wrap",
        [
            normalized,
            partial(VecFrameStack, n_stack=3),
            lambda venv: VecFrameStack(normalized(venv), 3),
            lambda venv: normalized(VecFrameStack(venv, 3)),
        ],
        ids=["VecNormalize", "VecFrameStack", "VecNormalize inside", "VecNormalize outside"],
    )
    def test_match_those_of_training(self, wrap: Any) -> None:
        venv = wrap(make_vec_env("CartPole-v1"))
        model = PPO("MlpPolicy", venv, n_steps=8, batch_size=8)
        env = fit_to_model(gym.make("CartPole-v1"), model)
        assert env.observation_space.shape == model.observation_space.shape
        venv.seed(5)
        theirs, (ours, _) = venv.reset(), env.reset(seed=5)
        over = False
        for step in range(100):
            np.testing.assert_allclose(ours, theirs[0], rtol=1e-5)
            if over:
                break
            theirs, _, _, infos = venv.step(np.array([step % 2]))
            ours, _, terminated, truncated, _ = env.step(step % 2)
            if terminated or truncated:
                theirs, over = np.array([infos[0]["terminal_observation"]]), True
        assert over

    def test_rejects_vec_normalize_of_other_observations(self) -> None:
        """With the same number of values, but other bounds or another shape."""
        model = PPO("MlpPolicy", VecNormalize(make_vec_env("CartPole-v1")), n_steps=8, batch_size=8)
        for shape in ((4,), (2, 2)):
            other = gym.wrappers.TransformObservation(
                gym.make("CartPole-v1"), lambda obs: obs, spaces.Box(0, 1, shape)
            )
            with pytest.raises(ValueError, match=r"4\.8.*Box\(0\.0, 1\.0"):
                fit_to_model(other, model)

    def test_rejects_normalized_images(self) -> None:
        venv = VecNormalize(make_atari_env(BREAKOUT))
        model = DQN("CnnPolicy", venv, buffer_size=1, policy_kwargs={"normalize_images": False})
        with pytest.raises(ValueError, match="images"):
            evaluate_games(model, BREAKOUT, n_games=1, seed=0)

    def test_reward_normalization_has_no_effect(self) -> None:
        venv = VecNormalize(make_vec_env("CartPole-v1"), norm_obs=False)
        env = gym.make("CartPole-v1")
        assert fit_to_model(env, PPO("MlpPolicy", venv, n_steps=8, batch_size=8)) is env

    def test_dict_observations_are_supported(self) -> None:
        class Both(gym.ObservationWrapper[Any, Any, Any]):
            def __init__(self, env: gym.Env[Any, Any]) -> None:
                super().__init__(env)
                box = env.observation_space
                self.observation_space = spaces.Dict({"numbers": box, "copy": box})

            def observation(self, observation: Any) -> Any:
                return {"numbers": observation, "copy": observation}

        venv = make_vec_env("CartPole-v1", wrapper_class=Both)
        for stacked in (venv, VecFrameStack(venv, 2)):
            model = PPO("MultiInputPolicy", stacked, n_steps=8, batch_size=8, seed=0)
            report = evaluate_games(
                model, "CartPole-v1", n_games=2, seed=0, epsilon=0.0, env_wrapper=Both
            )
            assert report.lengths == tuple(int(score) for score in report.scores)


def test_warns_about_frames_stacked_twice() -> None:
    model = DQN("CnnPolicy", VecFrameStack(make_atari_env(BREAKOUT), 4), buffer_size=1)
    with pytest.warns(UserWarning, match="16 channels"):
        evaluate_games(model, BREAKOUT, n_games=1, seed=0, max_frames=60, random_play=False)


def test_sb3_atari_wrapper_gets_rgb_frames() -> None:
    report = evaluate_games(
        ScriptedPlayer([0]),
        BREAKOUT,
        n_games=1,
        seed=0,
        max_frames=100,
        random_play=False,
        env_wrapper=AtariWrapper,
    )
    assert report.protocol["screens"] == "rgb"
