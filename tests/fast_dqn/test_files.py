"""Saved models of FastDQN can be loaded by SB3's DQN and vice versa."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import pytest
import torch as th
from stable_baselines3 import DQN
from stable_baselines3.common.save_util import load_from_zip_file

from sb3_atari_course import FastDQN, FrameReplayBuffer
from tests.fast_dqn.test_fast_dqn import distance, make_model

GROUP_FLAGS = {"fused": None, "capturable": False, "foreach": None}


def optimizer_of(path: Path) -> Any:
    return load_from_zip_file(path, device="cpu")[1]["policy.optimizer"]


@pytest.mark.parametrize(("writer", "reader"), [(FastDQN, DQN), (DQN, FastDQN), (FastDQN, FastDQN)])
def test_saved_model_can_be_loaded_and_trained_by_the_other(
    writer: Any, reader: Any, tmp_path: Path
) -> None:
    """Training on equal batches gives equal weights, so the optimizer's state is loaded too."""
    model = make_model(writer, learning_starts=60).learn(120)
    model.save(tmp_path / "model")
    loaded = reader.load(tmp_path / "model", env=model.env, device="cpu")
    assert type(loaded) is reader
    obs = model.env.reset()
    for seed in range(50):
        noise = th.randint(256, obs.shape, generator=th.Generator().manual_seed(seed)).byte()
        expected = model.predict(noise.numpy(), deterministic=True)[0]
        assert (loaded.predict(noise.numpy(), deterministic=True)[0] == expected).all()
    assert distance(loaded, model) == 0
    loaded.replay_buffer = model.replay_buffer
    loaded.set_logger(model.logger)
    for one in (model, loaded):
        one.set_random_seed(7)
        one.train(5, 8)
    assert distance(loaded, model) < 1e-4
    assert loaded._n_updates == model._n_updates


def test_saved_optimizer_state_matches_sb3(tmp_path: Path) -> None:
    for cls in (DQN, FastDQN):
        make_model(cls).learn(100).save(tmp_path / cls.__name__)
    theirs, ours = (optimizer_of(tmp_path / cls.__name__) for cls in (DQN, FastDQN))
    assert ours["param_groups"] == theirs["param_groups"]
    assert {name: ours["param_groups"][0][name] for name in GROUP_FLAGS} == GROUP_FLAGS
    th.testing.assert_close(ours["state"], theirs["state"], rtol=1e-3, atol=1e-6)
    names = []
    for cls in (DQN, FastDQN):
        with zipfile.ZipFile(tmp_path / f"{cls.__name__}.zip") as file:
            names.append({*json.loads(file.read("data"))})
    assert names[1] - names[0] == {"double_q", "compile"}


def test_loaded_model_enables_fused_again(tmp_path: Path) -> None:
    model = make_model(FastDQN, double_q=True).learn(100)
    assert model.policy.optimizer.param_groups[0]["fused"] is True
    model.save(tmp_path / "model")
    loaded = FastDQN.load(tmp_path / "model", env=model.env, device="cpu")
    assert loaded.double_q is True
    loaded.learn(100)
    assert loaded.policy.optimizer.param_groups[0]["fused"] is True
    loaded.set_parameters(tmp_path / "model.zip", device="cpu")
    assert loaded.policy.optimizer.param_groups[0]["fused"] is None
    loaded.train(1, 8)
    assert loaded.policy.optimizer.param_groups[0]["fused"] is True


def test_model_saved_on_gpu_loads_on_cpu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the optimizer settings and frame storage of a GPU."""
    model = make_model(
        FastDQN,
        learning_starts=10**6,
        replay_buffer_class=FrameReplayBuffer,
        replay_buffer_kwargs={"storage_device": "cuda"},
    )
    optimizer = model.policy.optimizer
    for weight in model.q_net.parameters():
        weight.grad = th.ones_like(weight)
    optimizer.step()
    group = optimizer.param_groups[0]
    group["fused"] = group["capturable"] = True
    group["lr"] = th.tensor(1e-4)
    model.save(tmp_path / "model")
    saved = optimizer_of(tmp_path / "model")["param_groups"][0]
    assert {name: saved[name] for name in GROUP_FLAGS} == GROUP_FLAGS
    assert saved["lr"] == pytest.approx(1e-4)
    for cls in (DQN, FastDQN):
        loaded = cls.load(tmp_path / "model", device="cpu")
        obs = model.env.reset()
        expected = model.predict(obs, deterministic=True)[0]
        assert (loaded.predict(obs, deterministic=True)[0] == expected).all()
