"""Tests of saving replay buffers in segments and restoring them."""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
import torch as th
from gymnasium import spaces
from stable_baselines3.common.buffers import (
    DictReplayBuffer,
    NStepReplayBuffer,
    ReplayBuffer,
)
from stable_baselines3.her import HerReplayBuffer

from sb3_atari_course._common.errors import CheckpointError
from sb3_atari_course.replay import FrameReplayBuffer
from sb3_atari_course.replay import segments as segments_module
from sb3_atari_course.replay.frame_stores import DeviceFrames, Lz4Frames, PlainFrames
from sb3_atari_course.replay.segments import (
    SMALL_ARRAYS,
    NewRows,
    RowMark,
    buffer_settings,
    check_buffer_settings,
    end_episodes,
    pack_rows,
    restore_rows,
)
from tests.fakes import StackedPlay
from tests.naive import NaiveReplayBuffer

N_ROWS = 7
OPTIMIZED = {"optimize_memory_usage": True, "handle_timeout_termination": False}
#: Kinds of buffers, and how to make them.
KINDS: dict[str, tuple[type[ReplayBuffer], dict[str, Any]]] = {
    "frames": (FrameReplayBuffer, {}),
    "frames lz4": (FrameReplayBuffer, {"compression": "lz4"}),
    "frames, three steps": (FrameReplayBuffer, {"compression": "lz4", "n_steps": 3}),
    "plain": (ReplayBuffer, {}),
    "plain, three steps": (NStepReplayBuffer, {"n_steps": 3}),
    "plain, optimized": (ReplayBuffer, OPTIMIZED),
}


def make(kind: str, play: Any, n_rows: int = N_ROWS, **others: Any) -> Any:
    cls, kwargs = KINDS[kind]
    settings: Any = (n_rows * play.n_envs, play.observation_space, play.action_space, "cpu")
    return cls(*settings, n_envs=play.n_envs, **{**kwargs, **others})


def roundtrip(arrays: dict[str, Any]) -> Any:
    file = io.BytesIO()
    np.savez(file, **arrays)
    file.seek(0)
    return np.load(file, allow_pickle=False)


def sample(buffer: Any, seed: int) -> Any:
    np.random.seed(seed)  # noqa: NPY002
    return buffer.sample(20)


def assert_same(buffer: Any, original: Any) -> None:
    """Assert that two buffers have the same rows at the same positions, and the same samples."""
    assert (buffer.pos, buffer.full) == (original.pos, original.full)
    n = buffer.size()
    for name in ("observations", "next_observations", *SMALL_ARRAYS):
        array, expected = (getattr(b, name, None) for b in (buffer, original))
        for one, other in _pairs(array, expected):
            assert (one[:n] == other[:n]).all(), name
    if buffer.optimize_memory_usage:
        assert (buffer.observations[buffer.pos] == original.observations[buffer.pos]).all()
    if isinstance(buffer, FrameReplayBuffer):
        buffer.check_valid()
        assert (buffer.stacks.frame_ids[:n] == original.stacks.frame_ids[:n]).all()
        assert buffer.stacks.table.n_ids == original.stacks.table.n_ids
        assert buffer.stacks.table.free.tolist() == original.stacks.table.free.tolist()
    if n > 1 or not buffer.optimize_memory_usage:  # with one row there is nothing to sample
        for one, other in zip(sample(buffer, n), sample(original, n), strict=True):
            for a, b in _pairs(one, other):
                assert th.equal(a, b)


def _pairs(one: Any, other: Any) -> list[tuple[Any, Any]]:
    if isinstance(one, dict):
        return [(one[key], other[key]) for key in other]
    return [] if one is None else [(one, other)]


def assert_rows_equal_reference(buffer: Any, reference: NaiveReplayBuffer) -> None:
    """Compare all rows with the naive reference, newest first."""
    for age in range(1, buffer.size() + 1):
        row = (buffer.pos - age) % buffer.buffer_size
        for env, expected in enumerate(reference.all_rows[-age]):
            assert (buffer.observations[row][env] == expected["observations"]).all()
            assert (buffer.next_observations[row][env] == expected["next_observations"]).all()
            assert buffer.actions[row, env] == expected["actions"]
            assert buffer.rewards[row, env] == np.float32(expected["reward"])
            assert buffer.dones[row, env] == expected["over"]
            assert buffer.timeouts[row, env] == expected["truncated"]


class Training:
    """A buffer that is being filled, and the segments of its checkpoints."""

    def __init__(self, kind: str, play: Any, n_rows: int = N_ROWS, **kwargs: Any) -> None:
        self.kind, self.play, self.n_rows, self.kwargs = kind, play, n_rows, kwargs
        self.buffer = make(kind, play, n_rows, **kwargs)
        self.reference = NaiveReplayBuffer(n_rows, play.n_envs, n_steps=1, gamma=1.0)
        self.mark = RowMark(self.buffer, n_written=0)
        self.n_written = self.n_steps = 0
        self.segments: list[Any] = []

    def add(self, n_steps: int, *others: Any) -> None:
        for _ in range(n_steps):
            transition = self.play.step()
            for buffer in (self.buffer, *others):
                buffer.add(*transition)
            if not isinstance(transition[0], dict):
                self.reference.add(*transition)
        self.n_steps += n_steps

    def checkpoint(self) -> NewRows:
        new = self.mark.rows_since(self.buffer, n_steps=self.n_steps)
        arrays = pack_rows(self.buffer, new.first, new.end)
        segments = [] if new.starts_over else self.segments
        self.segments = [
            segment
            for segment in [*segments, (new.first, new.end, roundtrip(arrays))]
            if segment[1] > new.end - self.n_rows
        ]
        self.continue_from(self.buffer, new.end)
        return new

    def restore_into(self, buffer: Any) -> Any:
        restore_rows(buffer, iter(self.segments), n_written=self.n_written)
        return buffer

    def continue_from(self, buffer: Any, n_written: int) -> None:
        self.buffer, self.n_written, self.n_steps = buffer, n_written, 0
        self.mark = RowMark(buffer, n_written=n_written)


def run_with_checkpoints(training: Training, seed: int, n_checkpoints: int = 7) -> None:
    """Restore and compare at each checkpoint, and continue with both or with the restored one."""
    rng = np.random.default_rng(seed)
    resumed, n_rows, total = None, training.n_rows, 0
    for _ in range(n_checkpoints):
        n_steps = int(rng.choice([1, 2, n_rows // 2 + 1, n_rows, 2 * n_rows + 1]))
        training.add(n_steps, *([resumed] if resumed is not None else []))
        if resumed is not None:
            assert_same(resumed, training.buffer)
        new = training.checkpoint()
        assert new == (max(total - 1, 0), total + n_steps, False)
        total += n_steps
        if resumed is None or rng.random() < 0.5:
            resumed = make(training.kind, training.play, n_rows, **training.kwargs)
        training.restore_into(resumed)  # resumed may have content
        assert_same(resumed, training.buffer)
        if training.reference.all_rows and not resumed.optimize_memory_usage:
            assert_rows_equal_reference(resumed, training.reference)
        if rng.random() < 0.5:
            training.buffer, resumed = resumed, training.buffer
            training.continue_from(training.buffer, total)


@pytest.mark.parametrize("n_envs", [1, 3])
@pytest.mark.parametrize("kind", KINDS)
def test_every_checkpoint_can_be_restored_and_continued(kind: str, n_envs: int) -> None:
    for seed in (0, 1, 3, 5, 8, 11):
        play = StackedPlay(
            seed,
            n_envs=n_envs,
            padding="zero" if seed % 2 else "repeat",
            channels_first=seed % 3 > 0,
            p_unrelated=0.1 * (seed % 4 == 3),
        )
        run_with_checkpoints(Training(kind, play, n_rows=1 + seed), seed)


class DictPlay(StackedPlay):
    """Dict observations with two keys, of different dtypes and shapes."""

    def __init__(self) -> None:
        super().__init__(0, n_envs=2)
        image, speed = self.observation_space, spaces.Box(-1, 1, (2,), np.float64)
        self.observation_space = spaces.Dict({"image": image, "speed": speed})  # type: ignore[assignment]

    def step(self) -> Any:
        obs, next_obs, *rest = super().step()
        parts = [{"image": one, "speed": np.cos(one[:, 0, 0, :2])} for one in (obs, next_obs)]
        return *parts, *rest


def test_dict_observations_can_be_restored_and_continued(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(KINDS, "dict", (DictReplayBuffer, {}))
    for seed in range(3):
        run_with_checkpoints(Training("dict", DictPlay()), seed)


def test_blocks_may_end_within_the_rows_of_an_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for n_bytes in (1, 100, 1000):
        monkeypatch.setattr(segments_module, "BLOCK_BYTES", n_bytes)
        for kind in ("plain", "frames"):
            run_with_checkpoints(Training(kind, StackedPlay(0, n_envs=3)), seed=n_bytes)


@pytest.mark.parametrize("new", [None, "lz4"])
@pytest.mark.parametrize("old", [None, "lz4", "device"])
def test_frame_store_may_change_on_resume(old: Any, new: Any) -> None:
    play = StackedPlay(0, n_envs=2)
    training = Training("frames", play, n_rows=20, compression=None if old == "device" else old)
    if old == "device":  # the store of a GPU, on the CPU
        training.buffer.storage_device = th.device("cuda")
        training.buffer.reset()
        cpu = th.device("cpu")
        training.buffer.storage_device = training.buffer.stacks.table.store.device = cpu
        assert isinstance(training.buffer.stacks.table.store, DeviceFrames)
        training.mark = RowMark(training.buffer, n_written=0)
    for _ in range(6):
        training.add(9)
        training.checkpoint()
    resumed = training.restore_into(make("frames", play, 20, compression=new))
    assert_same(resumed, training.buffer)
    check_buffer_settings(resumed, buffer_settings(training.buffer))
    training.continue_from(resumed, 54)
    for _ in range(6):  # with segments from both stores
        training.add(9)
        training.checkpoint()
        assert_same(training.restore_into(make("frames", play, 20, compression=new)), resumed)


@pytest.mark.parametrize("store", [PlainFrames, DeviceFrames, Lz4Frames])
def test_stores_exchange_packed_frames(store: Any) -> None:
    kwargs = {PlainFrames: (9,), DeviceFrames: (9, th.device("cpu")), Lz4Frames: ()}
    frames = np.random.default_rng(0).integers(0, 3, (3000, 80), dtype=np.uint8)  # three chunks
    one, other = store(80, *kwargs[store]), store(80, *kwargs[store])
    for each in (one, other):
        each.reserve(3005)
    every = np.arange(3000, dtype=np.int32)
    one.put(every, frames)
    other.put(np.array([3004], np.int32), frames[:1])
    packed = one.pack(every)
    assert packed.lengths.sum() == packed.blobs.size < frames.nbytes
    other.put_packed(every[::-1].copy(), packed)
    assert (th.as_tensor(other.take(every)).numpy() == frames[::-1]).all()
    if store is Lz4Frames:
        assert other.n_bytes - one.n_bytes < 80  # the frame 3004


class TestCost:
    """Only new rows are written, and only needed segments are read."""

    def make_training(self, n_rows: int, **kwargs: Any) -> Training:
        """Return a training with one endless episode: one new frame per step."""
        play = StackedPlay(0, n_envs=1, image_shape=(20, 20))
        frames = np.random.default_rng(0).integers(0, 256, (5 * n_rows, 20, 20), dtype=np.uint8)
        time = iter(range(5 * n_rows - 5))

        def step() -> Any:
            t = next(time)
            stacks = frames[None, t : t + 4], frames[None, t + 1 : t + 5]
            return *stacks, np.array([t % 5]), np.array([0.5]), np.array([False]), [{}]

        play.step = step  # type: ignore[method-assign]
        return Training("frames", play, n_rows, **kwargs)

    def test_segment_contains_only_the_frames_of_its_rows_and_the_one_before(self) -> None:
        training = self.make_training(1000)
        for first in range(0, 2000, 100):
            training.add(100)
            training.checkpoint()
            arrays = training.segments[-1][2]
            # the frames of the row before, and one per step
            assert len(arrays["used"]) == (104 if not first else 105)
            assert sum(array.nbytes for array in arrays.values()) < 106 * 410 + 100 * 60
        assert len(training.segments) == 10

    def test_compressed_frames_are_not_recompressed(self, monkeypatch: pytest.MonkeyPatch) -> None:
        training = self.make_training(50, compression="lz4")
        training.add(50)
        monkeypatch.setattr(Lz4Frames, "put", None)
        monkeypatch.setattr(Lz4Frames, "take", None)
        training.checkpoint()

    def test_reads_segments_one_by_one_and_skips_old_ones(self) -> None:
        class Lazy(Mapping[str, Any]):
            n_open = most_open = 0

            def __init__(self, arrays: Any) -> None:
                self.arrays = arrays
                Lazy.n_open += 1
                Lazy.most_open = max(Lazy.n_open, Lazy.most_open)

            def __del__(self) -> None:
                Lazy.n_open -= 1

            def __getitem__(self, name: str) -> Any:
                return self.arrays[name]

            def __iter__(self) -> Any:
                raise AssertionError("arrays are read one by one, by name")

            __len__ = __iter__

        training = self.make_training(50, compression="lz4")
        old: Any = [(first, first + 10, {}) for first in (0, 10, 20)]
        for _ in range(10):
            training.add(10)
            training.checkpoint()
        segments = ((first, end, Lazy(arrays)) for first, end, arrays in training.segments)
        fresh = make("frames lz4", training.play, 50)
        restore_rows(fresh, [*old, *training.segments], n_written=100)
        assert_same(fresh, training.buffer)
        restore_rows(fresh, segments, n_written=100)
        assert Lazy.most_open <= 2  # a segment is released when the next one has been read


class TestRowMark:
    """RowMark finds the new rows."""

    def make_training(self, kind: str) -> Training:
        training = Training(kind, StackedPlay(0, n_envs=2), n_rows=5)
        training.add(8)
        training.checkpoint()
        return training

    @pytest.mark.parametrize("n_steps", [1, 4, 5, 6, 8, 13])
    @pytest.mark.parametrize("kind", ["frames", "plain"])
    def test_starts_over_after_a_reset(self, kind: str, n_steps: int) -> None:
        training = self.make_training(kind)
        training.buffer.reset()
        training.add(n_steps)
        new = training.checkpoint()
        # a reset of SB3's buffer is not detected once all of its rows are overwritten
        assert new.starts_over or (kind == "plain" and new.end - new.first > 5)
        assert_same(training.restore_into(make(kind, training.play, 5)), training.buffer)

    def test_starts_over_after_loading(self, tmp_path: Any) -> None:
        training = self.make_training("frames")
        training.buffer.save(tmp_path / "buffer")
        training.buffer.load(tmp_path / "buffer")
        training.add(1)
        assert training.checkpoint().starts_over
        fresh = make("frames", training.play, 5)
        assert_same(training.restore_into(fresh), training.buffer)

    @pytest.mark.parametrize("n_before", [3, 12])
    @pytest.mark.parametrize("kind", ["frames", "plain", "plain, optimized"])
    def test_rows_from_before_the_training_are_new(self, kind: str, n_before: int) -> None:
        training = Training(kind, StackedPlay(0, n_envs=2), n_rows=5)
        training.add(n_before)
        training.mark, training.n_steps = RowMark(training.buffer, n_written=0), 0
        for _ in range(3):
            training.add(2)
            training.checkpoint()
            assert_same(training.restore_into(make(kind, training.play, 5)), training.buffer)

    def test_empty_buffer_can_be_saved_and_restored(self) -> None:
        training = Training("frames lz4", StackedPlay(0, n_envs=2))
        assert training.checkpoint() == (0, 0, False)
        resumed = training.restore_into(make("frames lz4", training.play))
        assert resumed.size() == 0
        training.add(3, resumed)
        assert_same(resumed, training.buffer)


class TestEndEpisodes:
    """Environments that start a new episode on resume."""

    def add(self, buffer: Any, *rewards: float, done: bool = False) -> None:
        for reward in rewards:
            obs = np.zeros((2, 3, 6, 7), np.uint8)
            step = np.zeros(2, np.int64), np.full(2, reward), np.full(2, done), [{}, {}]
            buffer.add(obs, obs, *step)

    def make_buffer(self, cls: Any, **kwargs: Any) -> Any:
        space = spaces.Box(0, 255, (3, 6, 7), np.uint8)
        return cls(20, space, spaces.Discrete(2), "cpu", n_envs=2, **kwargs)

    def returns(self, buffer: Any, row: int) -> list[float]:
        """Return the n-step return of each environment from a row on, without any termination."""
        sums = {}
        for seed in range(20):
            np.random.seed(seed)  # noqa: NPY002
            batch = buffer._get_samples(np.full(30, row))
            np.random.seed(seed)  # noqa: NPY002
            envs = np.random.randint(0, 2, size=30)  # noqa: NPY002
            assert not batch.dones.any()
            sums.update(zip(envs.tolist(), batch.rewards[:, 0].tolist(), strict=True))
        return [sums[0], sums[1]]

    @pytest.mark.parametrize("cls", [FrameReplayBuffer, NStepReplayBuffer])
    def test_returns_do_not_extend_over_the_gap_also_after_another_checkpoint(
        self, cls: Any
    ) -> None:
        buffers = [self.make_buffer(cls, n_steps=3, gamma=1.0) for _ in range(3)]
        self.add(buffers[0], 1.0, 2.0, 4.0)
        segments: list[Any] = [(0, 3, pack_rows(buffers[0], 0, 3))]
        restore_rows(buffers[1], segments, n_written=3)
        mark = RowMark(buffers[1], n_written=3)
        end_episodes(buffers[1], [1])
        self.add(buffers[1], 8.0, 16.0)
        assert self.returns(buffers[1], 1) == [14.0, 6.0]
        new = mark.rows_since(buffers[1], n_steps=2)
        segments.append((new.first, new.end, pack_rows(buffers[1], new.first, new.end)))
        restore_rows(buffers[2], segments, n_written=5)
        assert self.returns(buffers[2], 1) == [14.0, 6.0]
        assert self.returns(buffers[2], 2) == [28.0, 4.0]
        assert buffers[2].dones[2].tolist() == [0.0, 1.0]

    def test_gap_found_by_a_frame_replay_buffer_is_in_the_next_checkpoint(self) -> None:
        """The buffer marks the row before the gap, which the last checkpoint already contains."""
        buffer, restored = (self.make_buffer(FrameReplayBuffer, n_steps=3) for _ in range(2))
        self.add(buffer, 1.0, 2.0, 4.0)
        segments: list[Any] = [(0, 3, pack_rows(buffer, 0, 3))]
        mark = RowMark(buffer, n_written=3)
        obs = np.ones((2, 3, 6, 7), np.uint8)  # the earlier ones are zeros
        buffer.add(obs, obs, np.zeros(2, np.int64), np.zeros(2), np.zeros(2, bool), [{}, {}])
        new = mark.rows_since(buffer, n_steps=1)
        segments.append((new.first, new.end, pack_rows(buffer, new.first, new.end)))
        restore_rows(restored, segments, n_written=4)
        assert restored.timeouts[:4].tolist() == [[0.0] * 2, [0.0] * 2, [1.0] * 2, [0.0] * 2]

    @pytest.mark.parametrize("n_rows", [3, 10, 11])
    def test_termination_is_not_changed(self, n_rows: int) -> None:
        buffer = self.make_buffer(ReplayBuffer)
        self.add(buffer, *[1.0] * n_rows, done=True)
        end_episodes(buffer, [0, 1])
        assert buffer.dones.sum() == 2 * min(n_rows, 10)
        assert not buffer.timeouts.any()

    @pytest.mark.parametrize("optimized", [False, True])
    def test_marks_a_termination_without_timeout_handling(self, optimized: bool) -> None:
        """As SB3's ``learn`` does with ``optimize_memory_usage``."""
        kwargs = {"handle_timeout_termination": False, "optimize_memory_usage": optimized}
        buffer = self.make_buffer(ReplayBuffer, **kwargs)
        self.add(buffer, *[1.0] * 10)  # just full: the newest row is the last
        end_episodes(buffer, [0])
        assert buffer.dones[:, 0].tolist() == [0.0] * 9 + [1.0]
        assert not buffer.dones[:, 1].any()
        assert not buffer.timeouts.any()

    def test_empty_buffer_is_unchanged(self) -> None:
        buffer = self.make_buffer(FrameReplayBuffer)
        end_episodes(buffer, [0, 1])
        assert not buffer.dones.any()


class TestInvalidSegments:
    """Segments that are missing: an error, after which the buffer is empty and usable."""

    @pytest.fixture(params=["frames", "frames lz4", "plain", "plain, optimized"])
    def training(self, request: Any) -> Training:
        training = Training(request.param, StackedPlay(0, n_envs=2))
        for n_steps in (5, 3, 2):
            training.add(n_steps)
            training.checkpoint()
        training.segments = [(*times, dict(arrays)) for *times, arrays in training.segments]
        return training

    def assert_rejected(self, training: Training, segments: Any, match: str = "") -> None:
        buffer = make(training.kind, training.play)
        for _ in range(9):
            buffer.add(*training.play.step())
        with pytest.raises(CheckpointError, match=match):
            restore_rows(buffer, segments, n_written=training.n_written)
        assert buffer.size() == 0
        assert_same(training.restore_into(buffer), training.buffer)

    def test_rejects_missing_or_reordered_segments(self, training: Training) -> None:
        a, b, c = training.segments
        for segments in ([], [b, c], [a, c], [a, b], [a, c, b], [b, a, c], [c, b, a]):
            self.assert_rejected(training, segments, "replay buffer")

    def test_rejects_segments_of_another_kind_or_size(self) -> None:
        play = StackedPlay(0, n_envs=2)
        saved = buffer_settings(make("plain", play))
        check_buffer_settings(make("plain, three steps", play), saved)
        for other, match in [
            (make("frames", play), "kind='plain'.* 'frames'"),
            (make("plain", play, 8), "n_rows=7.* 8"),
            (make("plain, optimized", play), "optimize_memory_usage=False"),
            (make("plain", play, handle_timeout_termination=False), "handle_timeout_termination"),
        ]:
            with pytest.raises(CheckpointError, match=match):
                check_buffer_settings(other, saved)

    def test_rejects_buffers_with_unknown_state(self) -> None:
        class Prioritized(ReplayBuffer):
            pass

        play = StackedPlay(0, n_envs=1)
        buffer = Prioritized(5, play.observation_space, play.action_space)
        her = HerReplayBuffer.__new__(HerReplayBuffer)
        for unknown, name in [(buffer, "Prioritized"), (her, "HerReplayBuffer")]:
            with pytest.raises(TypeError, match=name):
                RowMark(unknown, n_written=0)
            with pytest.raises(TypeError, match=name):
                buffer_settings(unknown)
