"""Which updates are warm-ups, and when a graph is captured; on a card, that graphs learn."""

from __future__ import annotations

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
        self._n_warm_ups += 1

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


def make_model(**kwargs: Any) -> FastDQN:
    env = make_atari_env("BreakoutNoFrameskip-v4", 4, seed=0, wrapper_kwargs={"shape": (42, 42)})
    return FastDQN(
        "CnnPolicy",
        env,
        buffer_size=400,
        learning_starts=100,
        target_update_interval=40,
        train_freq=1,
        gradient_steps=2,
        seed=0,
        device="cuda",
        replay_buffer_class=FrameReplayBuffer,
        replay_buffer_kwargs={"storage_device": "auto"},
        **kwargs,
    )


@needs_card
@pytest.mark.parametrize("settings", [{}, {"double_q": True}, {"compile": True}])
def test_a_graph_does_what_the_same_updates_do_one_by_one(settings: Any) -> None:
    """The same indices: both ways draw them with the same generator of the card."""
    weights = []
    for n_warm_ups in (N_WARM_UPS, 10**9):
        model = make_model(**settings).learn(200)
        updates = model._updates
        assert isinstance(updates, GraphUpdates)
        model.set_random_seed(1)
        start = {name: value.clone() for name, value in model.policy.state_dict().items()}
        updates._graph, updates._n_warm_ups = None, N_WARM_UPS - n_warm_ups
        updates.run(20, 32)
        after = {name: value.clone() for name, value in model.policy.state_dict().items()}
        assert any(not th.equal(after[name], start[name]) for name in start)
        weights.append(after)
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
