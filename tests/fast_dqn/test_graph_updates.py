"""Which updates are warm-ups, and when a graph is captured; on a card, that graphs learn."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest
import torch as th

from sb3_atari_course import FastDQN, FrameReplayBuffer, make_atari_env
from sb3_atari_course.fast_dqn.graph_updates import N_WARM_UPS, GraphUpdates

needs_card = pytest.mark.skipif(not th.cuda.is_available(), reason="needs a CUDA card")


class Tape:
    """Stands for the step, its mean loss and the rows; records what is asked for."""

    def __init__(self) -> None:
        self.events: list[Any] = []
        self.addresses: tuple[int, ...] = (100,)
        self.weights = [th.zeros(1)]
        self.mean_loss = self

    def follow(self) -> None:
        self.events.append("follow")

    def finish(self, n_updates: int) -> None:
        self.events.append(f"mean of {n_updates}")

    def replay(self) -> None:
        self.events.append("replay")


class OnTape(GraphUpdates):
    """Without a card: warm-ups and captures are recorded only."""

    def __init__(self, tape: Any) -> None:
        super().__init__(tape, tape)
        self.tape = tape

    def _warm_up(self, batch_size: int) -> None:
        self.tape.events.append(f"warm up {batch_size}")

    def _capture(self, batch_size: int) -> Any:
        self.tape.events.append(f"capture {batch_size}")
        return self.tape


def test_the_first_updates_warm_up_then_one_capture_serves_all() -> None:
    tape = Tape()
    updates = OnTape(tape)
    updates.run(2, 32)
    updates.run(3, 32)
    assert tape.events == [
        *["follow", *["warm up 32"] * 2, "mean of 2"],
        *["follow", "warm up 32", "capture 32", "replay", "replay", "mean of 3"],
    ]
    tape.events.clear()
    updates.run(2, 32)
    assert tape.events == ["follow", "replay", "replay", "mean of 2"]


@pytest.mark.parametrize("change", ["batch size", "memory"])
def test_another_batch_size_or_memory_needs_another_graph(change: str) -> None:
    tape = Tape()
    updates = OnTape(tape)
    updates.run(5, 32)
    tape.events.clear()
    if change == "memory":
        tape.addresses = (100, 200)
    size = 64 if change == "batch size" else 32
    updates.run(4, size)
    assert tape.events == [
        "follow",
        *[f"warm up {size}"] * N_WARM_UPS,
        f"capture {size}",
        "replay",
        "mean of 4",
    ]


class Eager:
    """Stands for a captured graph: does the same update, without a card."""

    def __init__(self, update: Any) -> None:
        self.replay = update


def card_on_a_cpu(monkeypatch: pytest.MonkeyPatch, tape: list[str]) -> None:
    """Let FastDQN do on the CPU what it does on a card, but for the streams and the capture."""

    def warm_up(self: Any, batch_size: int) -> None:
        tape.append("warm up")
        self.step(self._rows.sample(batch_size))

    def capture(self: Any, batch_size: int) -> Any:
        tape.append("capture")
        return Eager(lambda: self.step(self._rows.sample(batch_size)))

    monkeypatch.setattr(GraphUpdates, "_warm_up", warm_up)
    monkeypatch.setattr(GraphUpdates, "_capture", capture)
    monkeypatch.setattr(FastDQN, "_can_be_graphs", lambda self: True)
    monkeypatch.setattr("sb3_atari_course.replay.frame_replay_buffer.check_card", lambda *_: None)


def model_as_on_a_card(**kwargs: Any) -> FastDQN:
    model = make_model(
        **{"device": "cpu", "replay_buffer_kwargs": {"storage_device": "cuda"}, **kwargs}
    )
    buffer: Any = model.replay_buffer
    buffer.storage_device = buffer.stacks.table.store.device = th.device("cpu")
    return model


def test_a_whole_training_as_on_a_card(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    """Frames in a card's store, rows beside them, updates that wait for the next step."""
    tape: list[str] = []
    card_on_a_cpu(monkeypatch, tape)
    model = model_as_on_a_card()
    start = copy.deepcopy(model.policy.state_dict())
    model.learn(300)
    assert isinstance(model._updates, GraphUpdates)
    assert model._updates.run_behind
    assert tape == ["warm up"] * N_WARM_UPS + ["capture"]
    assert model._n_updates == 2 * (300 - 100) // 4
    assert model._waiting is None  # the last ones were run too
    assert np.isfinite(float(model._updates.step.mean_loss))
    assert all(
        not th.equal(value, start[name]) for name, value in model.policy.state_dict().items()
    )
    step: Any = next(iter(model.policy.optimizer.state.values()))["step"]
    assert int(step) == model._n_updates
    model.policy.set_training_mode(False)
    model.train(2, 32)
    model._run_waiting()
    assert not model.policy.training  # in the middle of a rollout it goes on as it was


def test_a_loaded_optimiser_needs_another_graph(monkeypatch: pytest.MonkeyPatch) -> None:
    tape: list[str] = []
    card_on_a_cpu(monkeypatch, tape)
    model = model_as_on_a_card().learn(200)
    tape.clear()
    model.train(1, 32)
    model._run_waiting()
    assert tape == []
    state = copy.deepcopy(model.policy.optimizer.state_dict())
    model.policy.optimizer.load_state_dict(state)  # past set_parameters
    model.train(4, 32)
    model._run_waiting()
    assert tape == ["warm up"] * N_WARM_UPS + ["capture"]


def test_an_interrupted_training_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C between sending and waiting: the next training resets the games."""
    tape: list[str] = []
    card_on_a_cpu(monkeypatch, tape)
    model = model_as_on_a_card(env=make_native()).learn(200)
    assert model.env is not None
    wait = model.env.step_wait
    model.env.step_wait = interrupted  # type: ignore[method-assign]
    with pytest.raises(KeyboardInterrupt):
        model.learn(40, reset_num_timesteps=False)
    model.env.step_wait = wait  # type: ignore[method-assign]
    n_steps, n_updates = model.num_timesteps, model._n_updates
    model.learn(40, reset_num_timesteps=False)
    assert model.num_timesteps == n_steps + 40
    assert model._n_updates == n_updates + 20
    model.replay_buffer.check_valid()  # type: ignore[union-attr]


def interrupted() -> Any:
    raise KeyboardInterrupt


def make_native() -> Any:
    return make_atari_env(
        "BreakoutNoFrameskip-v4", 4, native=True, seed=0, wrapper_kwargs={"shape": (42, 42)}
    )


def make_model(**kwargs: Any) -> FastDQN:
    small = {"shape": (42, 42)}
    settings: dict[str, Any] = {
        "env": make_atari_env("BreakoutNoFrameskip-v4", 4, seed=0, wrapper_kwargs=small),
        "buffer_size": 400,
        "learning_starts": 100,
        "target_update_interval": 40,
        "train_freq": 1,
        "gradient_steps": 2,
        "seed": 0,
        "device": "cuda",
        "replay_buffer_class": FrameReplayBuffer,
        "replay_buffer_kwargs": {"storage_device": "auto"},
        **kwargs,
    }
    return FastDQN("CnnPolicy", **settings)


@needs_card
@pytest.mark.parametrize("settings", [{}, {"double_q": True}, {"compile": True}])
def test_a_graph_does_what_the_same_updates_do_one_by_one(settings: Any) -> None:
    """From the same weights, with the same indices: the card's generator draws them either way."""
    model = make_model(**settings).learn(200)
    updates = model._updates
    assert isinstance(updates, GraphUpdates)
    start = copy.deepcopy(model.get_parameters())
    weights = []
    for n_warm_ups in (N_WARM_UPS, -(10**9)):  # replays, and warm-ups without an end
        model.set_parameters(copy.deepcopy(start))
        model.set_random_seed(1)
        updates = model._updates = model._make_updates()
        updates._n_warm_ups = n_warm_ups
        updates.run(20, 32)
        weights.append(copy.deepcopy(model.policy.state_dict()))
    assert any(not th.equal(weights[0][name], value) for name, value in start["policy"].items())
    th.testing.assert_close(weights[0], weights[1], rtol=1e-3, atol=1e-5)


@needs_card
def test_a_schedule_reaches_the_graph() -> None:
    model = make_model(learning_rate=lambda left: 1e-3 * left).learn(300)
    before = [weight.clone() for weight in model.q_net.parameters()]
    model._current_progress_remaining = 0.0  # a learning rate of 0
    model.train(5, 32)
    model._run_waiting()
    for weight, old in zip(model.q_net.parameters(), before, strict=True):
        assert th.equal(weight, old)
    assert np.isfinite(float(model._updates.step.mean_loss))  # type: ignore[union-attr]
