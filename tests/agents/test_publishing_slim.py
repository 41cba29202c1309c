"""Small zips for inference: removed content, unchanged predictions."""

from __future__ import annotations

import zipfile
from pathlib import Path

import gymnasium as gym
import numpy as np
import pytest
import torch as th
from numpy.typing import NDArray
from sb3_contrib import QRDQN
from stable_baselines3 import DQN, PPO
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.buffers import NStepReplayBuffer
from stable_baselines3.common.save_util import load_from_zip_file, save_to_zip_file

from sb3_atari_course import FastDQN, load_agent
from sb3_atari_course.agents.publishing import write_slim
from sb3_atari_course.zoo.run_folder import Run
from tests.agents.file_contents import all_of

ENV = "CartPole-v1"
#: Some updates, and a target network that differs from the online one at the end.
LEARN = {"learning_starts": 10, "target_update_interval": 30, "seed": 0}
OBSERVATIONS = np.random.default_rng(0).uniform(-1, 1, (64, 4)).astype(np.float32)


def trained(algorithm: type[BaseAlgorithm], folder: Path, **kwargs: object) -> BaseAlgorithm:
    model = algorithm("MlpPolicy", ENV, device="cpu", **LEARN, **kwargs)  # type: ignore[arg-type]
    model.learn(50)
    model.save(folder / "before.zip")
    return model


def q_values(model: BaseAlgorithm) -> NDArray[np.float32]:
    with th.no_grad():
        values: NDArray[np.float32] = model.policy.q_net(th.as_tensor(OBSERVATIONS)).numpy()
    return values


def test_fast_dqn_zip_loads_as_dqn(tmp_path: Path) -> None:
    model = trained(FastDQN, tmp_path, double_q=True, n_steps=3)
    write_slim(tmp_path / "before.zip", tmp_path / "after.zip")
    loaded = DQN.load(tmp_path / "after.zip", device="cpu")
    assert not {"double_q", "compile"} & set(vars(loaded))
    assert loaded.gamma == model.gamma
    assert (q_values(loaded) == q_values(model)).all()


def test_exploration_rate_is_the_final_one(tmp_path: Path) -> None:
    """RL Zoo's enjoy plays Atari games stochastically; 0.65 would hide the learned policy."""
    model = trained(DQN, tmp_path, exploration_final_eps=0.25, exploration_fraction=1.0)
    model.exploration_rate = 0.65
    model.save(tmp_path / "before.zip")
    write_slim(tmp_path / "before.zip", tmp_path / "after.zip")
    assert DQN.load(tmp_path / "after.zip", device="cpu").exploration_rate == 0.25
    assert load_agent(tmp_path / "after.zip", model.get_env()).exploration_rate == 0.25


@pytest.mark.parametrize(("algorithm", "net"), [(DQN, "q_net"), (QRDQN, "quantile_net")])
def test_target_network_shares_tensors_of_the_online_network(
    algorithm: type[BaseAlgorithm], net: str, tmp_path: Path
) -> None:
    model = trained(algorithm, tmp_path)
    weights = model.policy.state_dict()
    first = next(name for name in weights if name.startswith(f"{net}."))
    stale = first.replace(f"{net}.", f"{net}_target.", 1)
    assert not th.equal(weights[first], weights[stale])
    write_slim(tmp_path / "before.zip", tmp_path / "after.zip")
    _, parameters, _ = load_from_zip_file(tmp_path / "after.zip", device="cpu")
    after = parameters["policy"]
    assert list(after) == list(weights)
    assert th.equal(after[stale], weights[first])
    n_bytes = [policy_bytes(tmp_path / f"{name}.zip") for name in ("before", "after")]
    assert n_bytes[1] < 0.6 * n_bytes[0]


def policy_bytes(path: Path) -> int:
    with zipfile.ZipFile(path) as file:
        return file.getinfo("policy.pth").file_size


def test_training_state_is_removed(tmp_path: Path) -> None:
    model = trained(DQN, tmp_path, tensorboard_log=str(tmp_path / "a_folder_of_mine"))
    assert model.policy.optimizer.state
    write_slim(tmp_path / "before.zip", tmp_path / "after.zip")
    data, parameters, _ = load_from_zip_file(tmp_path / "after.zip", device="cpu")
    assert data is not None
    assert not {"_last_obs", "_last_episode_starts", "ep_info_buffer"} & set(data)
    optimizer = parameters["policy.optimizer"]
    assert optimizer["state"] == {}
    assert optimizer["param_groups"][0]["lr"] == pytest.approx(1e-4)
    assert b"a_folder_of_mine" in all_of(tmp_path / "before.zip")
    assert b"a_folder_of_mine" not in all_of(tmp_path / "after.zip")


def test_slim_zip_can_be_trained_further(tmp_path: Path) -> None:
    trained(DQN, tmp_path)
    write_slim(tmp_path / "before.zip", tmp_path / "after.zip")
    loaded = DQN.load(tmp_path / "after.zip", env=gym.make(ENV), device="cpu")
    before = loaded.policy.state_dict()["q_net.q_net.0.weight"].clone()
    loaded.learn(50)
    assert not th.equal(before, loaded.policy.state_dict()["q_net.q_net.0.weight"])
    online, target = loaded.q_net.state_dict(), loaded.q_net_target.state_dict()
    assert online["q_net.0.weight"].data_ptr() != target["q_net.0.weight"].data_ptr()


def test_n_step_returns_are_kept_without_warning(tmp_path: Path) -> None:
    trained(DQN, tmp_path, n_steps=3, gamma=0.9)
    write_slim(tmp_path / "before.zip", tmp_path / "after.zip")
    loaded = DQN.load(tmp_path / "after.zip", device="cpu")
    buffer = loaded.replay_buffer
    assert isinstance(buffer, NStepReplayBuffer)
    assert (buffer.n_steps, buffer.gamma) == (3, 0.9)
    run = Run(tmp_path, tmp_path / "after.zip", "dqn", ENV, {}, {})  # as evaluate loads it
    assert (q_values(run.load_model("cpu")) == q_values(loaded)).all()


def test_ppo_zip_becomes_smaller(tmp_path: Path) -> None:
    model = PPO("MlpPolicy", ENV, n_steps=16, batch_size=16, device="cpu", seed=0).learn(16)
    model.save(tmp_path / "before.zip")
    write_slim(tmp_path / "before.zip", tmp_path / "after.zip")
    loaded = PPO.load(tmp_path / "after.zip", device="cpu")
    for name, weight in model.policy.state_dict().items():
        assert th.equal(loaded.policy.state_dict()[name], weight)
    assert (tmp_path / "after.zip").stat().st_size < (tmp_path / "before.zip").stat().st_size


def test_pickled_functions_with_paths_are_removed(tmp_path: Path) -> None:
    def schedule(progress: float) -> float:  # pickled with the path of this file
        return 1e-3 * progress

    model = trained(DQN, tmp_path, learning_rate=1e-3)
    model.lr_schedule = schedule  # type: ignore[assignment]
    model.save(tmp_path / "before.zip")
    here = str(Path(__file__).parent).encode()
    assert here in all_of(tmp_path / "before.zip")
    write_slim(tmp_path / "before.zip", tmp_path / "after.zip")
    assert here not in all_of(tmp_path / "after.zip")
    assert DQN.load(tmp_path / "after.zip", device="cpu").lr_schedule(1.0) == 1e-3


def test_rejects_zip_without_settings(tmp_path: Path) -> None:
    save_to_zip_file(tmp_path / "weights.zip", params={})
    with pytest.raises(ValueError, match=r"weights\.zip"):
        write_slim(tmp_path / "weights.zip", tmp_path / "after.zip")
