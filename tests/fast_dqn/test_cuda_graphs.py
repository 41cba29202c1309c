"""CUDA graphs: on the CPU with fake streams and captures, on a GPU with real ones."""

from __future__ import annotations

import copy
import gc
import math
import pickle
import weakref
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch as th
from stable_baselines3 import DQN
from stable_baselines3.common.buffers import NStepReplayBuffer
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.vec_env import DummyVecEnv, VecNormalize

from sb3_atari_course import FastDQN, FrameReplayBuffer, make_atari_env
from sb3_atari_course.fast_dqn.cuda_graphs import (
    N_WARM_UPS,
    DeviceRows,
    GraphUpdates,
    OverlapWrapper,
    PendingUpdates,
)
from sb3_atari_course.fast_dqn.updates import GradientStep
from tests.fakes import FakeGame, StackedPlay

GAMMA = 0.9
CPU = th.device("cpu")


def make_buffer(play: StackedPlay, buffer_size: int, *, n_steps: int = 1) -> FrameReplayBuffer:
    """Return a buffer with the frame store of a GPU, but on the CPU."""
    buffer = FrameReplayBuffer(
        buffer_size,
        play.observation_space,
        play.action_space,
        "cpu",
        play.n_envs,
        n_steps=n_steps,
        gamma=GAMMA,
        storage_device="cuda",
    )
    buffer.storage_device = buffer.stacks.table.store.device = CPU
    return buffer


def fill(play: StackedPlay, n_rows: int, *buffers: Any) -> None:
    for _ in range(n_rows):
        transition = play.step()
        for buffer in buffers:
            buffer.add(*transition)


def make_rows(n_rows: int, **kwargs: Any) -> tuple[StackedPlay, FrameReplayBuffer, DeviceRows]:
    """Return play of two environments, its buffer with ``n_rows`` rows, and its DeviceRows."""
    play = StackedPlay(3, n_envs=2, **kwargs)
    buffer = make_buffer(play, 40)
    rows = DeviceRows(buffer)
    fill(play, n_rows, buffer)
    rows.refresh(GAMMA)
    return play, buffer, rows


def all_indices(n_rows: int, n_envs: int) -> tuple[th.Tensor, th.Tensor]:
    """Return the indices of every row and environment once."""
    rows, envs = np.divmod(np.arange(n_rows * n_envs), n_envs)
    return th.from_numpy(rows), th.from_numpy(envs)


def sb3_batch(buffer: NStepReplayBuffer, monkeypatch: pytest.MonkeyPatch, indices: Any) -> Any:
    """Return the batch of SB3's buffer at the given indices."""
    rows, envs = (index.numpy() for index in indices)
    with monkeypatch.context() as patch:
        patch.setattr(np.random, "randint", lambda *args, **kwargs: envs)
        return buffer._get_samples(rows)


@pytest.mark.parametrize("n_rows", [1, 7, 21, 50])  # a ring of 20
@pytest.mark.parametrize("n_steps", [1, 3])
@pytest.mark.parametrize("channels_first", [True, False])
def test_transitions_match_sb3(
    channels_first: bool, n_steps: int, n_rows: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    play = StackedPlay(n_rows, n_envs=2, channels_first=channels_first, p_unrelated=0.1)
    buffer = make_buffer(play, 40, n_steps=n_steps)
    settings = (40, play.observation_space, play.action_space, "cpu", 2)
    reference = NStepReplayBuffer(*settings, n_steps=n_steps, gamma=GAMMA)
    rows = DeviceRows(buffer)
    for _ in range(n_rows):
        fill(play, 1, buffer, reference)
        if play.rng.random() < 0.5:
            rows.refresh(GAMMA)  # sometimes after several new rows
    rows.refresh(GAMMA)
    indices = all_indices(min(n_rows, 20), 2)
    expected = sb3_batch(reference, monkeypatch, indices)
    for name, our, their in zip(expected._fields, rows.gather(*indices), expected, strict=True):
        assert our.dtype == their.dtype, name
        assert our.shape == their.shape, name
        th.testing.assert_close(our, their, rtol=1e-6, atol=1e-6)
    for name in ("observations", "next_observations", "actions", "dones"):
        assert th.equal(getattr(rows.gather(*indices), name), getattr(expected, name)), name
    assert reference.dones.any() or n_rows < 7


@pytest.mark.parametrize(("n_rows", "n_filled"), [(3, 3), (20, 20), (33, 20)])
def test_filled_rows_are_sampled_uniformly(n_rows: int, n_filled: int) -> None:
    *_, rows = make_rows(n_rows)
    th.manual_seed(0)
    sampled_rows, sampled_envs = rows.sample_indices(200 * n_filled * 2)
    counts = np.zeros((20, 2), int)
    np.add.at(counts, (sampled_rows.numpy(), sampled_envs.numpy()), 1)
    assert counts[n_filled:].sum() == 0
    assert (np.abs(counts[:n_filled] - 200) < 5 * np.sqrt(200)).all()


def test_sampled_indices_are_clamped_to_the_filled_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    """The product with a number just below 1 may be rounded up."""
    *_, rows = make_rows(5)
    monkeypatch.setattr(th, "rand", lambda shape, **kwargs: th.ones(shape, **kwargs))
    assert [index.tolist() for index in rows.sample_indices(2)] == [[4, 4], [1, 1]]


def test_addresses_are_constant_until_the_buffer_grows() -> None:
    """Short episodes need more frames than rows, so another block of frames is allocated."""
    play, buffer, rows = make_rows(1, p_unrelated=0.9)
    tensors = [tensor.data_ptr() for tensor in rows._copies.values()]
    before = rows.addresses
    fill(play, 60, buffer)
    rows.refresh(GAMMA)
    assert [tensor.data_ptr() for tensor in rows._copies.values()] == tensors
    assert len(before) == 2  # of one block
    assert len(rows.addresses) > 2
    assert rows.addresses[0] == before[0]


def test_rows_are_copied_again_after_reset_or_load(tmp_path: Path) -> None:
    play, buffer, rows = make_rows(15)
    buffer.save(tmp_path / "buffer.npz")
    indices = all_indices(15, 2)
    saved = rows.gather(*indices)
    buffer.storage_device = th.device("cuda")  # selects the frame store of a GPU
    buffer.reset()
    buffer.storage_device = buffer.stacks.table.store.device = CPU
    fill(play, 4, buffer)
    rows.refresh(GAMMA)
    assert int(rows.sample_indices(500)[0].max()) == 3
    assert not th.equal(rows.gather(*indices).rewards[:8], saved.rewards[:8])
    buffer.storage_device = th.device("cuda")
    buffer.load(tmp_path / "buffer.npz")
    buffer.stacks.table.store.device = CPU
    rows.refresh(GAMMA)
    for after, before in zip(rows.gather(*indices), saved, strict=True):
        assert th.equal(after, before)


def test_truncation_marks_on_copied_rows_are_updated() -> None:
    """After an interruption the previous row is marked as truncated."""
    play = StackedPlay(3, n_envs=2)
    buffer = make_buffer(play, 40, n_steps=3)
    rows = DeviceRows(buffer)
    for seed in (4, 5, 6, 7, 8):  # other episodes, wrapping around the ring buffer
        fill(play, 6, buffer)
        rows.refresh(GAMMA)
        fill(StackedPlay(seed, n_envs=2), 2, buffer)
        rows.refresh(GAMMA)
        fresh = DeviceRows(buffer)
        fresh.refresh(GAMMA)
        indices = all_indices(buffer.size(), 2)
        for one, other in zip(rows.gather(*indices), fresh.gather(*indices), strict=True):
            assert th.equal(one, other)
    assert buffer.timeouts[buffer.pos - 3].any()


needs_gpu = pytest.mark.skipif(not th.cuda.is_available(), reason="needs a GPU")


class FakeRows:
    """Fake of DeviceRows that records calls of ``refresh()``."""

    def __init__(self, events: list[str]) -> None:
        self.events, self.addresses, self.device = events, (100,), CPU

    def refresh(self, gamma: float) -> None:
        self.events.append("refresh")

    def sample(self, batch_size: int) -> int:
        return batch_size


class FakeStep(GradientStep):
    """Fake of GradientStep that records batches; each loss is 1 larger than the one before."""

    def __init__(self, events: list[str]) -> None:
        super().__init__(
            DQN("MlpPolicy", "CartPole-v1", buffer_size=1, device="cpu"), double_q=False
        )
        self.events, self.loss = events, 0.0

    def __call__(self, batch: Any) -> th.Tensor:
        self.events.append(f"batch of {batch}")
        self.was_training = self.policy.training
        self.loss += 1
        return th.tensor(self.loss)


@pytest.fixture
def updates(events: list[str]) -> Any:
    return GraphUpdates(FakeStep(events), FakeRows(events))  # type: ignore[arg-type]


def warm_ups(size: int, n: int = N_WARM_UPS) -> list[str]:
    return ["warm up", f"batch of {size}"] * n


@pytest.mark.parametrize("change", ["batch size", "frames"])
def test_new_batch_size_or_frame_block_triggers_a_capture(
    change: str, updates: Any, events: list[str]
) -> None:
    updates.run(5, 32)
    events.clear()
    if change == "frames":
        updates.rows.addresses = (100, 200)
    size = 64 if change == "batch size" else 32
    updates.run(4, size)
    assert events == ["refresh", *warm_ups(size), "capture", f"batch of {size}"]


@pytest.mark.parametrize("mode", [False, True])
def test_updates_run_in_training_mode_and_restore_the_mode(mode: bool, updates: Any) -> None:
    updates.step.policy.set_training_mode(mode)
    updates.run(1, 32)
    assert updates.step.was_training
    assert updates.step.policy.training is mode


def test_mean_loss_is_that_of_the_last_run(updates: Any) -> None:
    """Warm-ups and replays alike; the losses are 1, 2, 3, ..."""
    assert math.isnan(updates.mean_loss)
    for n_updates, expected in ((2, 1.5), (1, 3.0), (3, 5.0)):
        updates.run(n_updates, 32)
        assert updates.mean_loss == expected


class Eager:
    """Fake of a captured graph that runs the update eagerly."""

    def __init__(self, update: Any) -> None:
        self.replay = update


def fake_gpu(monkeypatch: pytest.MonkeyPatch, events: list[str]) -> None:
    """Patch FastDQN to run the GPU code path on the CPU, with fake streams and captures."""

    def warm_up(self: Any, batch_size: int) -> None:
        events.append("warm up")
        self._step(batch_size)

    def capture(self: Any, batch_size: int) -> Any:
        events.append("capture")
        step = self.step  # a graph keeps it even if the model's step is replaced
        return Eager(lambda: self._sum_of_losses.add_(step(self.rows.sample(batch_size))))

    monkeypatch.setattr(GraphUpdates, "_warm_up", warm_up)
    monkeypatch.setattr(GraphUpdates, "_capture", capture)
    monkeypatch.setattr(FastDQN, "_can_use_graphs", lambda self: True)
    monkeypatch.setattr(
        "sb3_atari_course.replay.frame_replay_buffer.check_torch_device", lambda *_: None
    )


def model_on_fake_gpu(**kwargs: Any) -> FastDQN:
    model = make_model(
        **{"device": "cpu", "replay_buffer_kwargs": {"storage_device": "cuda"}, **kwargs}
    )
    move_storage_to_cpu(model.replay_buffer)
    return model


def move_storage_to_cpu(buffer: Any) -> None:
    """Set the storage device of a new, copied or loaded buffer to the CPU."""
    buffer.storage_device = buffer.stacks.table.store.device = th.device("cpu")


@pytest.fixture
def events(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return the recorded events of the fake GPU."""
    events: list[str] = []
    fake_gpu(monkeypatch, events)
    return events


@pytest.fixture(scope="module")
def trained() -> FastDQN:
    """Return a small trained model without environment, to be copied."""
    with pytest.MonkeyPatch.context() as patch:
        fake_gpu(patch, [])
        model = model_on_fake_gpu().learn(80)
    model.env = None
    model.replay_buffer.storage_device = th.device("cuda")  # type: ignore[union-attr]
    return model


def copy_with_graph(trained: FastDQN) -> Any:
    """Return a copy that has captured a graph, identical at each call."""
    model = copy.deepcopy(trained)
    move_storage_to_cpu(model.replay_buffer)
    model.set_random_seed(1)
    model.train(N_WARM_UPS + 2, 8)
    return model


@pytest.fixture
def model(trained: FastDQN, events: list[str]) -> Any:
    """Return a copy with a captured graph and no recorded events."""
    copied = copy_with_graph(trained)
    events.clear()
    return copied


def test_training_on_an_emulated_gpu_captures_once_and_updates_all_weights(
    events: list[str],
) -> None:
    """Frames in the GPU store, rows copied there, updates pending until the next step."""
    env = make_atari_env("BreakoutNoFrameskip-v4", 4, seed=0, wrapper_kwargs={"shape": (42, 42)})
    model: Any = model_on_fake_gpu(env=env)
    start = copy.deepcopy(model.policy.state_dict())
    model.learn(300)
    assert isinstance(model._graph_updates, GraphUpdates)
    assert events == ["warm up"] * N_WARM_UPS + ["capture"]
    assert model._n_updates == 2 * (300 - 60) // 4
    assert model._pending._submitted is None  # the last updates have run too
    assert np.isfinite(model._graph_updates.mean_loss)
    assert all(
        not th.equal(value, start[name]) for name, value in model.policy.state_dict().items()
    )
    step: Any = next(iter(model.policy.optimizer.state.values()))["step"]
    assert int(step) == model._n_updates
    model.policy.set_training_mode(False)
    model.train(2, 32)
    model._pending.flush()
    assert not model.policy.training  # as during a rollout


def new_optimizer(model: Any) -> None:
    model.policy.optimizer = th.optim.Adam(model.q_net.parameters(), lr=1e-3)


def loaded_optimizer(model: Any) -> None:
    """Load the optimizer's state directly, without ``set_parameters``."""
    optimizer = model.policy.optimizer
    optimizer.load_state_dict(copy.deepcopy(optimizer.state_dict()))


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
    *(weight_decay, another_target, clipping_norm, double_q, loaded_optimizer),
]


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__)
def test_changes_trigger_a_capture(
    change: Any, trained: FastDQN, events: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The weights match those of updates without a graph, so no stale graph is replayed."""
    after = []
    for n_warm_ups in (N_WARM_UPS, 10**9):
        monkeypatch.setattr("sb3_atari_course.fast_dqn.cuda_graphs.N_WARM_UPS", n_warm_ups)
        model = copy_with_graph(trained)
        events.clear()
        change(model)
        model.train(5, 8)
        expected = ["capture"] if n_warm_ups == N_WARM_UPS else []
        assert [event for event in events if event != "warm up"] == expected
        after.append(dict(model.policy.state_dict()))
    th.testing.assert_close(*after, rtol=0, atol=0)


def test_gamma_takes_effect_without_a_capture(model: Any, events: list[str]) -> None:
    """Like the learning rate, it may change at each step; n-step returns use it too."""
    model.replay_buffer.n_steps = 3
    model.train(N_WARM_UPS + 1, 8)
    updates: Any = model._graph_updates
    events.clear()
    model.gamma = 0.25
    model.train(1, 8)
    assert events == []
    assert model._graph_updates is updates
    assert float(updates.rows.sample(32).discounts.min()) == pytest.approx(0.25**3)


def test_vec_normalize_disables_graphs(model: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """After ``set_env`` with VecNormalize, the rows on the GPU are freed."""
    monkeypatch.setattr(FastDQN, "_can_use_graphs", lambda self: self._vec_normalize_env is None)
    assert isinstance(model._graph_updates, GraphUpdates)
    model.set_env(VecNormalize(make_native(), norm_obs=False))
    model.learn(40, reset_num_timesteps=False)
    assert model._graph_updates is None


@pytest.mark.parametrize("by", ["assignment", "file"])
def test_replaced_replay_buffer_is_freed_and_not_sampled(
    by: str, model: Any, trained: FastDQN, tmp_path: Path
) -> None:
    other = copy_with_graph(trained).replay_buffer
    old = weakref.ref(model.replay_buffer), weakref.ref(model.replay_buffer.stacks)
    if by == "file":
        model.replay_buffer.storage_device = th.device("cuda")
        model.save_replay_buffer(tmp_path / "buffer")
        model.load_replay_buffer(tmp_path / "buffer")
    else:
        model.replay_buffer = other
    gc.collect()
    assert [reference() for reference in old] == [None, None]
    buffer: Any = model.replay_buffer
    move_storage_to_cpu(buffer)
    model.train(2, 8)
    rows: Any = model._graph_updates.rows
    assert rows.matches(buffer)
    assert int(rows.sample_indices(500)[0].max()) == buffer.pos - 1


def test_copy_does_not_share_the_graph(model: Any, events: list[str]) -> None:
    model.replay_buffer.storage_device = th.device("cuda")
    copied = copy.deepcopy(model)
    for one in (model, copied):
        move_storage_to_cpu(one.replay_buffer)
    events.clear()
    before = copy.deepcopy(model.policy.state_dict())
    copied.train(5, 8)
    assert events == ["warm up"] * N_WARM_UPS + ["capture"]
    for name, value in model.policy.state_dict().items():
        assert th.equal(value, before[name])
    assert not th.equal(copied.q_net.q_net[0].weight, model.q_net.q_net[0].weight)
    events.clear()
    model.train(2, 8)
    assert events == []  # the original's graph is still valid


def test_training_continues_after_an_interrupt(events: list[str]) -> None:
    """After Ctrl-C between step_async and step_wait, the next training resets the environments."""
    model = model_on_fake_gpu().learn(200)
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
    settings: dict[str, Any] = {
        "env": make_native(),
        "buffer_size": 400,
        "learning_starts": 60,
        "batch_size": 8,
        "target_update_interval": 40,
        "train_freq": 1,
        "gradient_steps": 2,
        "seed": 0,
        "device": "cuda",
        "policy_kwargs": {"features_extractor_kwargs": {"features_dim": 16}},
        "replay_buffer_class": FrameReplayBuffer,
        "replay_buffer_kwargs": {"storage_device": "auto"},
        **kwargs,
    }
    return FastDQN("CnnPolicy", **settings)


class Events(BaseCallback):
    """Records the order of environment steps, updates and callbacks."""

    def __init__(self, model: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        super().__init__()
        self.events: list[str] = []
        wait, run, add = model.env.step_wait, GraphUpdates.run, model.replay_buffer.add
        send = model.env.step_async
        model.env.step_async = lambda actions: (self.events.append("send"), send(actions))
        model.env.step_wait = lambda: (self.events.append("wait"), wait())[1]
        model.replay_buffer.add = lambda *args: (self.events.append("add"), add(*args))
        monkeypatch.setattr(
            GraphUpdates, "run", lambda *args: (self.events.append("update"), run(*args))
        )

    def _on_step(self) -> bool:
        self.events.append("step")
        return True

    def _on_training_end(self) -> None:
        self.events.append("end")


def record(monkeypatch: pytest.MonkeyPatch) -> tuple[Any, Events]:
    """Return a trained model and a callback that records the events of its next training."""
    fake_gpu(monkeypatch, [])
    model = model_on_fake_gpu().learn(80)
    return model, Events(model, monkeypatch)


def submit_update(model: Any) -> None:
    """Call ``train()`` during training and check that the weights are not updated yet."""
    model._total_timesteps = model.num_timesteps + 1
    before = copy.deepcopy(model.policy.state_dict())
    model.train(1, 8)
    assert all(th.equal(value, before[name]) for name, value in model.policy.state_dict().items())


def test_updates_run_between_step_async_and_step_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    """The last updates run before ``on_training_end``."""
    model, callback = record(monkeypatch)
    n_updates = model._n_updates
    model.learn(6 * 4, callback=callback, reset_num_timesteps=False)
    first, last = ["send", "wait", "step", "add"], ["update", "end"]
    later = ["send", "update", "wait", "step", "add"]
    assert callback.events == [*first, *later * 5, *last]
    assert model._n_updates == n_updates + 6 * 2


def test_pending_updates_run_before_weights_are_read_copied_or_replaced(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model, callback = record(monkeypatch)
    model.env = None  # an emulator cannot be copied
    model.replay_buffer.__dict__.pop("add")
    model.replay_buffer.storage_device = th.device("cuda")  # required for copying
    weights = []
    for read in (
        lambda: model.get_parameters()["policy"],
        lambda: copy.deepcopy(model).policy.state_dict(),
        lambda: pickle.loads(pickle.dumps(model)).policy.state_dict(),
    ):
        submit_update(model)
        callback.events.clear()
        weights.append(copy.deepcopy(read()))
        assert callback.events == ["update"]
        th.testing.assert_close(dict(weights[-1]), dict(model.policy.state_dict()))
    assert not th.equal(weights[0]["q_net.q_net.0.weight"], weights[1]["q_net.q_net.0.weight"])
    parameters = copy.deepcopy(model.get_parameters())
    submit_update(model)
    model.set_parameters(parameters)
    assert callback.events[-1] == "update"
    for name, value in parameters["policy"].items():  # no update ran afterwards
        assert th.equal(model.policy.state_dict()[name], value)


def test_pending_updates_use_the_settings_at_submission(
    trained: FastDQN, events: list[str]
) -> None:
    """Changes after submission affect only later updates, as in SB3."""
    after = []
    for changes in (False, True):
        model: Any = copy_with_graph(trained)
        submit_update(model)
        if changes:
            model.gamma, model.max_grad_norm, model.double_q = 0.1, 1e-3, True
            model.policy.optimizer = th.optim.SGD(model.q_net.parameters(), lr=1.0)
            model.replay_buffer = None
        before = copy.deepcopy(model.policy.state_dict())
        model._pending.flush()
        after.append(dict(model.policy.state_dict()))
        assert not th.equal(after[-1]["q_net.q_net.0.weight"], before["q_net.q_net.0.weight"])
    th.testing.assert_close(after[1], after[0], rtol=0, atol=0)


def test_each_submitted_update_runs_with_its_own_settings(model: Any) -> None:
    """Two calls without an environment step between; a learning rate of 0 changes no weights."""
    submit_update(model)
    before = model.policy.parameters_to_vector()
    model.lr_schedule = lambda _: 0.0
    model.train(2, 8)
    after = model.policy.parameters_to_vector()
    assert (before != after).any()
    model._pending.flush()
    assert (model.policy.parameters_to_vector() == after).all()
    step = next(iter(model.policy.optimizer.state.values()))["step"]
    assert int(step) == model._n_updates


def test_environments_are_freed_after_training(events: list[str]) -> None:
    model = model_on_fake_gpu().learn(100)
    submit_update(model)
    model.learn(0)
    assert model._pending._submitted is None  # pending updates run at the end of training
    old = weakref.ref(model.env)  # type: ignore[arg-type]
    model.set_env(make_native())
    gc.collect()
    assert old() is None


def test_overlap_wrapper_is_created_once(updates: Any, events: list[str]) -> None:
    """Creating a wrapper queries each environment; without pending updates none is needed."""
    pending, envs = PendingUpdates(), [DummyVecEnv([FakeGame]) for _ in range(2)]
    updates.rows.buffer = None
    assert pending.flush_during_step(envs[0]) is envs[0]
    pending.submit(updates, 1, 8)
    wrapped = pending.flush_during_step(envs[0])
    assert isinstance(wrapped, OverlapWrapper)
    assert pending.flush_during_step(envs[0]) is wrapped
    wrapped.reset()
    wrapped.step(np.array([2]))
    assert events == ["refresh", "warm up", "batch of 8"]
    wrapped.step(np.array([2]))
    assert len(events) == 3
    pending.submit(updates, 1, 8)
    other = pending.flush_during_step(envs[1])
    assert isinstance(other, OverlapWrapper)
    assert other.venv is envs[1]


@needs_gpu
@pytest.mark.parametrize("settings", [{}, {"double_q": True}, {"compile": True}])
def test_graph_matches_eager_updates(settings: Any) -> None:
    """From the same weights and indices: both sample with the GPU's generator."""
    model = make_model(**settings).learn(200)
    assert isinstance(model._graph_updates, GraphUpdates)
    start = copy.deepcopy(model.get_parameters())
    weights = []
    for n_warm_ups in (N_WARM_UPS, -(10**9)):  # replays, and only eager warm-ups
        model.set_parameters(copy.deepcopy(start))
        model.set_random_seed(1)
        model._graph_updates = None
        model.train(0, 32)
        updates: Any = model._graph_updates
        updates._n_warm_ups = n_warm_ups
        updates.run(20, 32)
        weights.append(copy.deepcopy(model.policy.state_dict()))
    assert any(not th.equal(weights[0][name], value) for name, value in start["policy"].items())
    th.testing.assert_close(weights[0], weights[1], rtol=1e-3, atol=1e-5)


@needs_gpu
def test_learning_rate_schedule_reaches_the_graph() -> None:
    model = make_model(learning_rate=lambda left: 1e-3 * left).learn(300)
    before = [weight.clone() for weight in model.q_net.parameters()]
    model._current_progress_remaining = 0.0  # a learning rate of 0
    model.train(5, 32)
    model._pending.flush()
    for weight, old in zip(model.q_net.parameters(), before, strict=True):
        assert th.equal(weight, old)
    assert np.isfinite(model._graph_updates.mean_loss)  # type: ignore[union-attr]
