"""Which updates are warm-ups, and when a graph is captured; on a card, that graphs learn."""

from __future__ import annotations

import copy
import gc
import weakref
from typing import Any

import numpy as np
import pytest
import torch as th
from stable_baselines3.common.vec_env import VecNormalize

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
        step = self.step  # a graph keeps it whatever the model has later
        return Eager(lambda: step(self._rows.sample(batch_size)))

    monkeypatch.setattr(GraphUpdates, "_warm_up", warm_up)
    monkeypatch.setattr(GraphUpdates, "_capture", capture)
    monkeypatch.setattr(FastDQN, "_can_be_graphs", lambda self: True)
    monkeypatch.setattr(
        "sb3_atari_course.replay.frame_replay_buffer.check_cuda_device", lambda *_: None
    )


def model_as_on_a_card(**kwargs: Any) -> FastDQN:
    model = make_model(
        **{"device": "cpu", "replay_buffer_kwargs": {"storage_device": "cuda"}, **kwargs}
    )
    as_on_a_card_too(model.replay_buffer)
    return model


def as_on_a_card_too(buffer: Any) -> None:
    """Do to a copied or loaded buffer what :func:`model_as_on_a_card` does to a new one."""
    buffer.storage_device = buffer.stacks.table.store.device = th.device("cpu")


@pytest.fixture(scope="module")
def trained() -> FastDQN:
    """Return a small model that was trained a little, without environment, to be copied."""
    small = {"features_extractor_kwargs": {"features_dim": 16}}
    with pytest.MonkeyPatch.context() as patch:
        card_on_a_cpu(patch, [])
        model = model_as_on_a_card(learning_starts=60, batch_size=8, policy_kwargs=small).learn(80)
    model.env = None
    model.replay_buffer.storage_device = th.device("cuda")  # type: ignore[union-attr]
    return model


def copy_of(trained: FastDQN) -> FastDQN:
    """Return a copy that has captured a graph, the same each time."""
    model = copy.deepcopy(trained)
    as_on_a_card_too(model.replay_buffer)
    model.set_random_seed(1)
    model.train(N_WARM_UPS + 2, 8)
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
    assert np.isfinite(float(model._mean_loss))  # type: ignore[arg-type]
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


def new_optimizer(model: Any) -> None:
    model.policy.optimizer = th.optim.Adam(model.q_net.parameters(), lr=1e-3)


def new_head(model: Any) -> None:
    th.manual_seed(5)
    model.q_net.q_net[-1] = th.nn.Linear(16, 4)
    new_optimizer(model)


def another_activation(model: Any) -> None:
    model.q_net.features_extractor.cnn[1] = th.nn.Tanh()


def frozen_layer(model: Any) -> None:
    model.q_net.features_extractor.requires_grad_(False)


def target_from_a_vector(model: Any) -> None:
    model.q_net_target.load_from_vector(model.q_net_target.parameters_to_vector() * 1.5)


def weight_decay(model: Any) -> None:
    model.policy.optimizer.param_groups[0]["weight_decay"] = 0.5


def another_target(model: Any) -> None:
    th.manual_seed(6)
    model.policy.q_net_target = model.policy.make_q_net()
    model._create_aliases()


def clipping_norm(model: Any) -> None:
    model.max_grad_norm = 1e-3


def double_q(model: Any) -> None:
    model.double_q = True


CHANGES = [
    *(new_optimizer, new_head, another_activation, frozen_layer, target_from_a_vector),
    *(weight_decay, another_target, clipping_norm, double_q),
]


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__)
def test_what_is_changed_needs_another_graph(
    change: Any, trained: FastDQN, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The weights are those of updates without any graph; nothing that is kept is replayed."""
    tape: list[str] = []
    card_on_a_cpu(monkeypatch, tape)
    after = []
    for n_warm_ups in (N_WARM_UPS, 10**9):
        monkeypatch.setattr("sb3_atari_course.fast_dqn.graph_updates.N_WARM_UPS", n_warm_ups)
        model = copy_of(trained)
        tape.clear()
        change(model)
        model.train(5, 8)
        expected = ["capture"] if n_warm_ups == N_WARM_UPS else []
        assert [event for event in tape if event != "warm up"] == expected
        after.append(dict(model.policy.state_dict()))
    th.testing.assert_close(*after, rtol=0, atol=0)


def test_gamma_reaches_a_graph_without_another_capture(
    trained: FastDQN, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a learning rate does, so that it may change in each step."""
    tape: list[str] = []
    card_on_a_cpu(monkeypatch, tape)
    model = copy_of(trained)
    updates: Any = model._updates
    tape.clear()
    model.gamma = 0.25
    model.train(1, 8)
    assert tape == []
    assert model._updates is updates
    assert updates._rows.sample(8).discounts.unique().tolist() == [0.25]


def test_several_steps_are_discounted_by_the_gamma_of_the_model(
    trained: FastDQN, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The replay buffer gets it at each ``train``, whatever it had."""
    card_on_a_cpu(monkeypatch, [])
    model = copy_of(trained)
    model.replay_buffer.n_steps = 3  # type: ignore[union-attr]
    model.gamma = 0.25
    model.train(1, 8)
    rows: Any = model._updates._rows  # type: ignore[union-attr]
    discounts = rows.sample(32).discounts
    assert float(discounts.min()) == pytest.approx(0.25**3)
    assert model.replay_buffer.gamma == 0.25  # type: ignore[union-attr]


def test_normalised_observations_are_sampled_by_the_buffer(
    trained: FastDQN, monkeypatch: pytest.MonkeyPatch
) -> None:
    """``set_env`` after a training on a GPU; the replay buffer's rows there are freed."""
    card_on_a_cpu(monkeypatch, [])
    monkeypatch.setattr(FastDQN, "_can_be_graphs", lambda self: self._vec_normalize_env is None)
    model = copy_of(trained)
    assert isinstance(model._updates, GraphUpdates)
    small = {"shape": (42, 42)}
    env = make_atari_env("BreakoutNoFrameskip-v4", 4, seed=0, wrapper_kwargs=small)
    model.set_env(VecNormalize(env, norm_obs=False))
    model.learn(40, reset_num_timesteps=False)
    assert model._updates is None


@pytest.mark.parametrize("by", ["assignment", "file"])
def test_a_replaced_replay_buffer_is_freed_and_not_sampled(
    by: str, trained: FastDQN, monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    card_on_a_cpu(monkeypatch, [])
    model = copy_of(trained)
    other = copy_of(trained).replay_buffer
    old = weakref.ref(model.replay_buffer), weakref.ref(model.replay_buffer.stacks)  # type: ignore[union-attr]
    if by == "file":
        model.replay_buffer.storage_device = th.device("cuda")  # type: ignore[union-attr]
        model.save_replay_buffer(tmp_path / "buffer")
        model.load_replay_buffer(tmp_path / "buffer")
    else:
        model.replay_buffer = other
    gc.collect()
    assert [reference() for reference in old] == [None, None]
    buffer: Any = model.replay_buffer
    as_on_a_card_too(buffer)
    model.train(2, 8)
    rows: Any = model._updates._rows  # type: ignore[union-attr]
    assert rows.belong_to(buffer)
    assert int(rows.draw(500)[0].max()) == buffer.pos - 1


def test_a_copy_has_nothing_of_the_graph(trained: FastDQN, monkeypatch: pytest.MonkeyPatch) -> None:
    tape: list[str] = []
    card_on_a_cpu(monkeypatch, tape)
    model = copy_of(trained)
    model.replay_buffer.storage_device = th.device("cuda")  # type: ignore[union-attr]
    copied = copy.deepcopy(model)
    for one in (model, copied):
        as_on_a_card_too(one.replay_buffer)
    tape.clear()
    before = copy.deepcopy(model.policy.state_dict())
    copied.train(5, 8)
    assert tape == ["warm up"] * N_WARM_UPS + ["capture"]
    for name, value in model.policy.state_dict().items():
        assert th.equal(value, before[name])
    assert not th.equal(copied.q_net.q_net[0].weight, model.q_net.q_net[0].weight)
    tape.clear()
    model.train(2, 8)
    assert tape == []  # the original's graph is still right


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
    assert isinstance(model._updates, GraphUpdates)
    start = copy.deepcopy(model.get_parameters())
    weights = []
    for n_warm_ups in (N_WARM_UPS, -(10**9)):  # replays, and warm-ups without an end
        model.set_parameters(copy.deepcopy(start))
        model.set_random_seed(1)
        model._updates = None
        updates = model._make_updates()
        assert isinstance(updates, GraphUpdates)
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
    assert np.isfinite(float(model._mean_loss))  # type: ignore[arg-type]
