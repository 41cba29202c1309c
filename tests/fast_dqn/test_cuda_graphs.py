"""CUDA graphs on the CPU, by stand-ins for streams and captures; on a GPU, that graphs learn."""

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
    PendingUpdates,
    WorkWhilePlaying,
)
from sb3_atari_course.fast_dqn.updates import GradientStep
from tests.fakes import FakeGame, StackedPlay

GAMMA = 0.9
CPU = th.device("cpu")


def make_buffer(play: StackedPlay, buffer_size: int, *, n_steps: int = 1) -> FrameReplayBuffer:
    """Return a buffer with the frames of a GPU, but on the CPU."""
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
    """Return play of two environments, its buffer with so many rows, and their copies."""
    play = StackedPlay(3, n_envs=2, **kwargs)
    buffer = make_buffer(play, 40)
    rows = DeviceRows(buffer)
    fill(play, n_rows, buffer)
    rows.follow(GAMMA)
    return play, buffer, rows


def all_places(n_rows: int, n_envs: int) -> tuple[th.Tensor, th.Tensor]:
    """Return every row and environment once."""
    rows, envs = np.divmod(np.arange(n_rows * n_envs), n_envs)
    return th.from_numpy(rows), th.from_numpy(envs)


def theirs(buffer: NStepReplayBuffer, monkeypatch: pytest.MonkeyPatch, places: Any) -> Any:
    """Return what SB3's buffer samples there."""
    rows, envs = (place.numpy() for place in places)
    with monkeypatch.context() as patch:
        patch.setattr(np.random, "randint", lambda *args, **kwargs: envs)
        return buffer._get_samples(rows)


@pytest.mark.parametrize("n_rows", [1, 7, 21, 50])  # a ring of 20
@pytest.mark.parametrize("n_steps", [1, 3])
@pytest.mark.parametrize("channels_first", [True, False])
def test_every_transition_is_sb3s(
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
            rows.follow(GAMMA)  # sometimes several rows behind
    rows.follow(GAMMA)
    places = all_places(min(n_rows, 20), 2)
    expected = theirs(reference, monkeypatch, places)
    for name, our, their in zip(expected._fields, rows.gather(*places), expected, strict=True):
        assert our.dtype == their.dtype, name
        assert our.shape == their.shape, name
        th.testing.assert_close(our, their, rtol=1e-6, atol=1e-6)
    for name in ("observations", "next_observations", "actions", "dones"):
        assert th.equal(getattr(rows.gather(*places), name), getattr(expected, name)), name
    assert reference.dones.any() or n_rows < 7


@pytest.mark.parametrize(("n_rows", "n_filled"), [(3, 3), (20, 20), (33, 20)])
def test_all_that_is_filled_is_drawn_evenly(n_rows: int, n_filled: int) -> None:
    *_, rows = make_rows(n_rows)
    th.manual_seed(0)
    drawn_rows, drawn_envs = rows.draw(200 * n_filled * 2)
    counts = np.zeros((20, 2), int)
    np.add.at(counts, (drawn_rows.numpy(), drawn_envs.numpy()), 1)
    assert counts[n_filled:].sum() == 0
    assert (np.abs(counts[:n_filled] - 200) < 5 * np.sqrt(200)).all()


def test_an_end_of_the_generators_range_stays_inside(monkeypatch: pytest.MonkeyPatch) -> None:
    """The product of a number just below 1 may be rounded up."""
    *_, rows = make_rows(5)
    monkeypatch.setattr(th, "rand", lambda shape, **kwargs: th.ones(shape, **kwargs))
    assert [place.tolist() for place in rows.draw(2)] == [[4, 4], [1, 1]]


def test_addresses_stay_until_the_buffer_grows() -> None:
    """Short episodes need more frames than rows: another block, another address."""
    play, buffer, rows = make_rows(1, p_unrelated=0.9)
    tensors = [tensor.data_ptr() for tensor in rows._copies.values()]
    before = rows.addresses
    fill(play, 60, buffer)
    rows.follow(GAMMA)
    assert [tensor.data_ptr() for tensor in rows._copies.values()] == tensors
    assert len(before) == 2  # of one block
    assert len(rows.addresses) > 2
    assert rows.addresses[0] == before[0]


def test_it_follows_a_buffer_that_was_emptied_or_loaded(tmp_path: Path) -> None:
    play, buffer, rows = make_rows(15)
    buffer.save(tmp_path / "buffer.npz")
    places = all_places(15, 2)
    saved = rows.gather(*places)
    buffer.storage_device = th.device("cuda")  # so that frames lie as on a GPU
    buffer.reset()
    buffer.storage_device = buffer.stacks.table.store.device = CPU
    fill(play, 4, buffer)
    rows.follow(GAMMA)
    assert int(rows.draw(500)[0].max()) == 3
    assert not th.equal(rows.gather(*places).rewards[:8], saved.rewards[:8])
    buffer.storage_device = th.device("cuda")
    buffer.load(tmp_path / "buffer.npz")
    buffer.stacks.table.store.device = CPU
    rows.follow(GAMMA)
    for after, before in zip(rows.gather(*places), saved, strict=True):
        assert th.equal(after, before)


def test_it_follows_a_mark_on_a_row_that_it_has_already() -> None:
    """Where play was interrupted, the row before is marked as cut off."""
    play = StackedPlay(3, n_envs=2)
    buffer = make_buffer(play, 40, n_steps=3)
    rows = DeviceRows(buffer)
    for seed in (4, 5, 6, 7, 8):  # of other episodes; round the ring
        fill(play, 6, buffer)
        rows.follow(GAMMA)
        fill(StackedPlay(seed, n_envs=2), 2, buffer)
        rows.follow(GAMMA)
        fresh = DeviceRows(buffer)
        fresh.follow(GAMMA)
        places = all_places(buffer.size(), 2)
        for one, other in zip(rows.gather(*places), fresh.gather(*places), strict=True):
            assert th.equal(one, other)
    assert buffer.timeouts[buffer.pos - 3].any()


needs_gpu = pytest.mark.skipif(not th.cuda.is_available(), reason="needs a GPU")


class FakeRows:
    """Stands for rows on a GPU; records when they are brought up to date."""

    def __init__(self, events: list[str]) -> None:
        self.events, self.addresses, self.device = events, (100,), CPU

    def follow(self, gamma: float) -> None:
        self.events.append("follow")

    def sample(self, batch_size: int) -> int:
        return batch_size


class FakeStep(GradientStep):
    """Records batches instead of learning from them; each loss is 1 larger than the one before."""

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
def test_another_batch_size_or_block_of_frames_needs_another_graph(
    change: str, updates: Any, events: list[str]
) -> None:
    updates.run(5, 32)
    events.clear()
    if change == "frames":
        updates.rows.addresses = (100, 200)
    size = 64 if change == "batch size" else 32
    updates.run(4, size)
    assert events == ["follow", *warm_ups(size), "capture", f"batch of {size}"]


@pytest.mark.parametrize("mode", [False, True])
def test_updates_run_in_training_mode_and_leave_the_mode_as_it_was(
    mode: bool, updates: Any
) -> None:
    updates.step.policy.set_training_mode(mode)
    updates.run(1, 32)
    assert updates.step.was_training
    assert updates.step.policy.training is mode


def test_the_mean_loss_is_that_of_the_last_run(updates: Any) -> None:
    """Warm-ups and replays alike; the losses are 1, 2, 3, ..."""
    assert math.isnan(updates.mean_loss)
    for n_updates, expected in ((2, 1.5), (1, 3.0), (3, 5.0)):
        updates.run(n_updates, 32)
        assert updates.mean_loss == expected


class Eager:
    """Stands for a captured graph: does the same update, without a GPU."""

    def __init__(self, update: Any) -> None:
        self.replay = update


def gpu_on_a_cpu(monkeypatch: pytest.MonkeyPatch, events: list[str]) -> None:
    """Let FastDQN do on the CPU what it does on a GPU, but for the streams and the capture."""

    def warm_up(self: Any, batch_size: int) -> None:
        events.append("warm up")
        self._step(batch_size)

    def capture(self: Any, batch_size: int) -> Any:
        events.append("capture")
        step = self.step  # a graph keeps it whatever the model has later
        return Eager(lambda: self._sum_of_losses.add_(step(self.rows.sample(batch_size))))

    monkeypatch.setattr(GraphUpdates, "_warm_up", warm_up)
    monkeypatch.setattr(GraphUpdates, "_capture", capture)
    monkeypatch.setattr(FastDQN, "_can_be_graphs", lambda self: True)
    monkeypatch.setattr(
        "sb3_atari_course.replay.frame_replay_buffer.check_cuda_device", lambda *_: None
    )


def model_as_on_a_gpu(**kwargs: Any) -> FastDQN:
    model = make_model(
        **{"device": "cpu", "replay_buffer_kwargs": {"storage_device": "cuda"}, **kwargs}
    )
    as_on_a_gpu_too(model.replay_buffer)
    return model


def as_on_a_gpu_too(buffer: Any) -> None:
    """Do to a copied or loaded buffer what :func:`model_as_on_a_gpu` does to a new one."""
    buffer.storage_device = buffer.stacks.table.store.device = th.device("cpu")


@pytest.fixture
def events(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return what happens on what stands for a GPU."""
    events: list[str] = []
    gpu_on_a_cpu(monkeypatch, events)
    return events


@pytest.fixture(scope="module")
def trained() -> FastDQN:
    """Return a small model that was trained a little, without environment, to be copied."""
    with pytest.MonkeyPatch.context() as patch:
        gpu_on_a_cpu(patch, [])
        model = model_as_on_a_gpu().learn(80)
    model.env = None
    model.replay_buffer.storage_device = th.device("cuda")  # type: ignore[union-attr]
    return model


def copy_of(trained: FastDQN) -> Any:
    """Return a copy that has captured a graph, the same each time."""
    model = copy.deepcopy(trained)
    as_on_a_gpu_too(model.replay_buffer)
    model.set_random_seed(1)
    model.train(N_WARM_UPS + 2, 8)
    return model


@pytest.fixture
def model(trained: FastDQN, events: list[str]) -> Any:
    """Return such a copy; nothing has happened since."""
    copied = copy_of(trained)
    events.clear()
    return copied


def test_a_whole_training_as_on_a_gpu(events: list[str]) -> None:
    """Frames in a GPU's store, rows beside them, updates that wait for the next step."""
    env = make_atari_env("BreakoutNoFrameskip-v4", 4, seed=0, wrapper_kwargs={"shape": (42, 42)})
    model: Any = model_as_on_a_gpu(env=env)
    start = copy.deepcopy(model.policy.state_dict())
    model.learn(300)
    assert isinstance(model._graph_updates, GraphUpdates)
    assert events == ["warm up"] * N_WARM_UPS + ["capture"]
    assert model._n_updates == 2 * (300 - 60) // 4
    assert model._pending._submitted is None  # the last ones were run too
    assert np.isfinite(model._graph_updates.mean_loss)
    assert all(
        not th.equal(value, start[name]) for name, value in model.policy.state_dict().items()
    )
    step: Any = next(iter(model.policy.optimizer.state.values()))["step"]
    assert int(step) == model._n_updates
    model.policy.set_training_mode(False)
    model.train(2, 32)
    model._pending.flush()
    assert not model.policy.training  # in the middle of a rollout it goes on as it was


def new_optimizer(model: Any) -> None:
    model.policy.optimizer = th.optim.Adam(model.q_net.parameters(), lr=1e-3)


def loaded_optimizer(model: Any) -> None:
    """Past ``set_parameters``."""
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
def test_what_is_changed_needs_another_graph(
    change: Any, trained: FastDQN, events: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The weights are those of updates without any graph; nothing that is kept is replayed."""
    after = []
    for n_warm_ups in (N_WARM_UPS, 10**9):
        monkeypatch.setattr("sb3_atari_course.fast_dqn.cuda_graphs.N_WARM_UPS", n_warm_ups)
        model = copy_of(trained)
        events.clear()
        change(model)
        model.train(5, 8)
        expected = ["capture"] if n_warm_ups == N_WARM_UPS else []
        assert [event for event in events if event != "warm up"] == expected
        after.append(dict(model.policy.state_dict()))
    th.testing.assert_close(*after, rtol=0, atol=0)


def test_gamma_reaches_a_graph_without_another_capture(model: Any, events: list[str]) -> None:
    """As a learning rate does, so that it may change in each step; n-step returns use it too."""
    model.replay_buffer.n_steps = 3
    model.train(N_WARM_UPS + 1, 8)
    updates: Any = model._graph_updates
    events.clear()
    model.gamma = 0.25
    model.train(1, 8)
    assert events == []
    assert model._graph_updates is updates
    assert float(updates.rows.sample(32).discounts.min()) == pytest.approx(0.25**3)


def test_normalised_observations_are_sampled_by_the_buffer(
    model: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """``set_env`` after a training on a GPU; the replay buffer's rows there are freed."""
    monkeypatch.setattr(FastDQN, "_can_be_graphs", lambda self: self._vec_normalize_env is None)
    assert isinstance(model._graph_updates, GraphUpdates)
    model.set_env(VecNormalize(make_native(), norm_obs=False))
    model.learn(40, reset_num_timesteps=False)
    assert model._graph_updates is None


@pytest.mark.parametrize("by", ["assignment", "file"])
def test_a_replaced_replay_buffer_is_freed_and_not_sampled(
    by: str, model: Any, trained: FastDQN, tmp_path: Path
) -> None:
    other = copy_of(trained).replay_buffer
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
    as_on_a_gpu_too(buffer)
    model.train(2, 8)
    rows: Any = model._graph_updates.rows
    assert rows.belong_to(buffer)
    assert int(rows.draw(500)[0].max()) == buffer.pos - 1


def test_a_copy_has_nothing_of_the_graph(model: Any, events: list[str]) -> None:
    model.replay_buffer.storage_device = th.device("cuda")
    copied = copy.deepcopy(model)
    for one in (model, copied):
        as_on_a_gpu_too(one.replay_buffer)
    events.clear()
    before = copy.deepcopy(model.policy.state_dict())
    copied.train(5, 8)
    assert events == ["warm up"] * N_WARM_UPS + ["capture"]
    for name, value in model.policy.state_dict().items():
        assert th.equal(value, before[name])
    assert not th.equal(copied.q_net.q_net[0].weight, model.q_net.q_net[0].weight)
    events.clear()
    model.train(2, 8)
    assert events == []  # the original's graph is still right


def test_an_interrupted_training_goes_on(events: list[str]) -> None:
    """Ctrl-C between sending and waiting: the next training resets the games."""
    model = model_as_on_a_gpu().learn(200)
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
    """Records what happens in which order."""

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
    """Return a trained model, and what records the events of its next training."""
    gpu_on_a_cpu(monkeypatch, [])
    model = model_as_on_a_gpu().learn(80)
    return model, Events(model, monkeypatch)


def ask_for_an_update(model: Any) -> None:
    """Call ``train`` in the middle of a training; nothing is updated yet."""
    model._total_timesteps = model.num_timesteps + 1
    before = copy.deepcopy(model.policy.state_dict())
    model.train(1, 8)
    assert all(th.equal(value, before[name]) for name, value in model.policy.state_dict().items())


def test_updates_run_between_sending_and_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """The last ones run before a callback sees the end of the training."""
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
    model.replay_buffer.storage_device = th.device("cuda")  # as a copy needs it
    weights = []
    for read in (
        lambda: model.get_parameters()["policy"],
        lambda: copy.deepcopy(model).policy.state_dict(),
        lambda: pickle.loads(pickle.dumps(model)).policy.state_dict(),
    ):
        ask_for_an_update(model)
        callback.events.clear()
        weights.append(copy.deepcopy(read()))
        assert callback.events == ["update"]
        th.testing.assert_close(dict(weights[-1]), dict(model.policy.state_dict()))
    assert not th.equal(weights[0]["q_net.q_net.0.weight"], weights[1]["q_net.q_net.0.weight"])
    parameters = copy.deepcopy(model.get_parameters())
    ask_for_an_update(model)
    model.set_parameters(parameters)
    assert callback.events[-1] == "update"
    for name, value in parameters["policy"].items():  # nothing ran afterwards
        assert th.equal(model.policy.state_dict()[name], value)


def test_pending_updates_are_those_that_were_asked_for(trained: FastDQN, events: list[str]) -> None:
    """What changes before they run counts for later ones: in SB3 they are done already."""
    after = []
    for changes in (False, True):
        model: Any = copy_of(trained)
        ask_for_an_update(model)
        if changes:
            model.gamma, model.max_grad_norm, model.double_q = 0.1, 1e-3, True
            model.policy.optimizer = th.optim.SGD(model.q_net.parameters(), lr=1.0)
            model.replay_buffer = None
        before = copy.deepcopy(model.policy.state_dict())
        model._pending.flush()
        after.append(dict(model.policy.state_dict()))
        assert not th.equal(after[-1]["q_net.q_net.0.weight"], before["q_net.q_net.0.weight"])
    th.testing.assert_close(after[1], after[0], rtol=0, atol=0)


def test_updates_that_are_asked_for_twice_run_twice_by_the_settings_of_each(model: Any) -> None:
    """Without a step of the environments between; a learning rate of 0 changes no weight."""
    ask_for_an_update(model)
    before = model.policy.parameters_to_vector()
    model.lr_schedule = lambda _: 0.0
    model.train(2, 8)
    after = model.policy.parameters_to_vector()
    assert (before != after).any()
    model._pending.flush()
    assert (model.policy.parameters_to_vector() == after).all()
    step = next(iter(model.policy.optimizer.state.values()))["step"]
    assert int(step) == model._n_updates


def test_the_environments_are_let_go_after_a_training(events: list[str]) -> None:
    model = model_as_on_a_gpu().learn(100)
    ask_for_an_update(model)
    model.learn(0)
    assert model._pending._submitted is None  # what is pending runs at the end
    old = weakref.ref(model.env)  # type: ignore[arg-type]
    model.set_env(make_native())
    gc.collect()
    assert old() is None


def test_the_wrapper_of_the_environments_is_made_once(updates: Any, events: list[str]) -> None:
    """Making one asks each environment something; none is needed while nothing is pending."""
    pending, envs = PendingUpdates(), [DummyVecEnv([FakeGame]) for _ in range(2)]
    updates.rows.buffer = None
    assert pending.flush_while_playing(envs[0]) is envs[0]
    pending.submit(updates, 1, 8)
    wrapped = pending.flush_while_playing(envs[0])
    assert isinstance(wrapped, WorkWhilePlaying)
    assert pending.flush_while_playing(envs[0]) is wrapped
    wrapped.reset()
    wrapped.step(np.array([2]))
    assert events == ["follow", "warm up", "batch of 8"]
    wrapped.step(np.array([2]))
    assert len(events) == 3
    pending.submit(updates, 1, 8)
    other = pending.flush_while_playing(envs[1])
    assert isinstance(other, WorkWhilePlaying)
    assert other.venv is envs[1]


@needs_gpu
@pytest.mark.parametrize("settings", [{}, {"double_q": True}, {"compile": True}])
def test_a_graph_does_what_the_same_updates_do_one_by_one(settings: Any) -> None:
    """From the same weights, with the same indices: the GPU's generator draws them either way."""
    model = make_model(**settings).learn(200)
    assert isinstance(model._graph_updates, GraphUpdates)
    start = copy.deepcopy(model.get_parameters())
    weights = []
    for n_warm_ups in (N_WARM_UPS, -(10**9)):  # replays, and warm-ups without an end
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
def test_a_schedule_reaches_the_graph() -> None:
    model = make_model(learning_rate=lambda left: 1e-3 * left).learn(300)
    before = [weight.clone() for weight in model.q_net.parameters()]
    model._current_progress_remaining = 0.0  # a learning rate of 0
    model.train(5, 32)
    model._pending.flush()
    for weight, old in zip(model.q_net.parameters(), before, strict=True):
        assert th.equal(weight, old)
    assert np.isfinite(model._graph_updates.mean_loss)  # type: ignore[union-attr]
