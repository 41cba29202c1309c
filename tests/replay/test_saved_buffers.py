"""Tests of saving and loading FrameReplayBuffer."""

from __future__ import annotations

import copy
import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch as th
from gymnasium import spaces

from sb3_atari_course._common.errors import ReplayMemoryError
from sb3_atari_course._common.state_tree import write_archive
from sb3_atari_course.replay import FrameReplayBuffer, ReplayFileError, frame_replay_buffer
from sb3_atari_course.replay.frame_stores import DeviceFrames
from sb3_atari_course.replay.segments import SMALL_ARRAYS
from sb3_atari_course.replay.stacks import StackStorage
from tests.fakes import StackedPlay
from tests.replay.test_frame_replay_buffer import assert_equal_batches, sample
from tests.replay.test_training import make_model

N_ENVS = 2


def make_filled(n_rows: int, seed: int = 0, **kwargs: Any) -> tuple[FrameReplayBuffer, StackedPlay]:
    play = StackedPlay(seed, n_envs=N_ENVS, n_stack=kwargs.pop("n_stack", 4))
    actions = spaces.Discrete(kwargs.pop("n_actions", 5))
    size, device = kwargs.pop("buffer_size", 40), kwargs.pop("device", "cpu")
    buffer = FrameReplayBuffer(size, play.observation_space, actions, device, N_ENVS, **kwargs)
    for _ in range(n_rows):
        buffer.add(*play.step())
    return buffer, play


def assert_continue_identically(
    loaded: FrameReplayBuffer, buffer: FrameReplayBuffer, play: Any
) -> None:
    """Assert that two buffers are equal, and stay so until all rows are overwritten twice."""
    assert (loaded.pos, loaded.full) == (buffer.pos, buffer.full)
    n = buffer.size()
    for name in ("observations", "next_observations", *SMALL_ARRAYS):
        assert (np.asarray(getattr(loaded, name)[:n]) == getattr(buffer, name)[:n]).all(), name
    for step in range(45):
        transition = play.step()
        for one in (loaded, buffer):
            one.add(*transition)
        loaded.check_valid()
        assert_equal_batches(sample(loaded, 20, step), sample(buffer, 20, step))
    assert loaded.stacks.table.n_frames == buffer.stacks.table.n_frames


@pytest.mark.parametrize("n_rows", [0, 1, 7, 20, 53])
@pytest.mark.parametrize(
    ("way", "old", "new"),
    [
        ("file", None, None),
        ("file", "lz4", "lz4"),
        ("file", None, "lz4"),
        ("file", "lz4", None),
        ("pickle", None, None),
        ("pickle", "lz4", "lz4"),
        ("deepcopy", None, None),
    ],
)
def test_loaded_buffer_continues_identically(
    n_rows: int, way: str, old: Any, new: Any, tmp_path: Path
) -> None:
    buffer, play = make_filled(n_rows, compression=old)
    if way == "file":
        buffer.save(tmp_path / "buffer.npz")
        loaded, _ = make_filled(30, seed=9, compression=new)  # its content is replaced
        loaded.load(tmp_path / "buffer.npz")
    else:
        loaded = copy.deepcopy(buffer) if way == "deepcopy" else pickle.loads(pickle.dumps(buffer))
    assert loaded.compression == new
    assert_continue_identically(loaded, buffer, play)


def test_n_steps_may_change_when_a_buffer_is_loaded(tmp_path: Path) -> None:
    make_filled(25)[0].save(tmp_path / "buffer")
    loaded, _ = make_filled(0, n_steps=3)
    loaded.load(tmp_path / "buffer")
    assert sample(loaded, 5, 0).discounts is not None


def test_file_is_an_npz_of_the_filled_rows_without_pickle(tmp_path: Path) -> None:
    buffer, _ = make_filled(10, buffer_size=1_000_000)
    path = tmp_path / "buffer.npz"
    buffer.save(path)
    with np.load(path, allow_pickle=False) as arrays:
        settings = json.loads(arrays["format-4.json"])["header"]["settings"]
        assert all(isinstance(arrays[name], (np.ndarray, bytes)) for name in arrays)
    assert (settings["n_rows"], settings["n_envs"]) == (500_000, N_ENVS)
    assert [one.name for one in tmp_path.iterdir()] == ["buffer.npz"]  # no temporary file
    assert path.stat().st_size < 10_000
    assert len(pickle.dumps(buffer)) < 10_000


class TestDevice:
    """Frames on a simulated GPU; they are on the CPU where it is missing."""

    @pytest.fixture
    def gpu(self, monkeypatch: pytest.MonkeyPatch) -> Any:
        """Return a function that sets whether PyTorch finds a GPU."""

        def is_available(answer: bool) -> None:
            monkeypatch.setattr(th.cuda, "is_available", lambda: answer)

        monkeypatch.setattr(th.cuda, "device_count", lambda: 0)
        is_available(False)
        return is_available

    @staticmethod
    def fill(buffer: FrameReplayBuffer, play: StackedPlay) -> None:
        buffer._check_before_first_add = lambda: None  # type: ignore[method-assign]  # it checks the GPU
        for _ in range(15):
            buffer.add(*play.step())
        del buffer._check_before_first_add

    @pytest.mark.parametrize("device", ["auto", "cuda", th.device("cuda", 0)])
    def test_buffer_saved_with_a_gpu_loads_without_one(self, gpu: Any, device: Any) -> None:
        gpu(True)
        buffer, play = make_filled(0, device=device, storage_device="auto")
        assert buffer.device.type == buffer.storage_device.type == "cuda"
        self.fill(buffer, play)
        assert isinstance(buffer.stacks.table.store, DeviceFrames)
        assert buffer.frames_on_gpu
        pickled = pickle.dumps(buffer)
        gpu(False)
        loaded = pickle.loads(pickled)
        assert loaded.device == loaded.storage_device == th.device("cpu")
        plain, same_play = make_filled(15)
        assert_continue_identically(loaded, plain, same_play)

    @pytest.mark.parametrize("by_sb3", [False, True])
    def test_buffer_saved_without_a_gpu_loads_with_one(self, gpu: Any, by_sb3: bool) -> None:
        """SB3's models set the device of a buffer that they load."""
        buffer, _ = make_filled(15, device="cpu" if by_sb3 else "auto", storage_device="auto")
        assert buffer.storage_device == th.device("cpu")
        pickled = pickle.dumps(buffer)
        gpu(True)
        loaded = pickle.loads(pickled)
        if by_sb3:
            assert not loaded.frames_on_gpu
            loaded.device = th.device("cuda")
        assert loaded.storage_device == loaded.stacks.table.store.device == th.device("cuda")
        assert (loaded.pos, loaded.full) == (15, False)
        assert (np.asarray(loaded.observations[:15]) == buffer.observations[:15]).all()
        assert pickle.loads(pickle.dumps(loaded)).frames_on_gpu
        loaded.device = th.device("cpu")  # set by a model on the CPU
        plain, same_play = make_filled(15)
        assert_continue_identically(loaded, plain, same_play)

    def test_frames_move_to_the_device_of_the_model(self, gpu: Any, tmp_path: Path) -> None:
        model = make_model(0.99, storage_device="auto").learn(32)
        model.save_replay_buffer(tmp_path / "buffer")
        gpu(True)
        model.device = th.device("cuda")
        model.load_replay_buffer(tmp_path / "buffer")
        buffer = model.replay_buffer
        assert isinstance(buffer, FrameReplayBuffer)
        assert buffer.frames_on_gpu
        assert buffer.size() == 32

    def test_compressed_frames_stay_on_the_cpu(self, gpu: Any) -> None:
        gpu(True)
        buffer, _ = make_filled(1, device="cuda", storage_device="auto", compression="lz4")
        assert buffer.storage_device == th.device("cpu")
        buffer.check_valid()

    def test_explicit_storage_device_does_not_follow_the_model(self, gpu: Any) -> None:
        buffer, _ = make_filled(0)
        gpu(True)
        buffer.device = th.device("cuda")
        assert buffer.storage_device == th.device("cpu")
        assert pickle.loads(pickle.dumps(buffer)).storage_device == th.device("cpu")

    def test_frames_of_a_gpu_can_be_read_but_not_extended_without_one(
        self, gpu: Any, tmp_path: Path
    ) -> None:
        on_device, play = make_filled(0, storage_device="cuda")
        self.fill(on_device, play)
        plain, _ = make_filled(15)
        on_device.save(tmp_path / "buffer")
        loaded, _ = make_filled(0)
        loaded.load(tmp_path / "buffer")
        pickled = pickle.loads(pickle.dumps(on_device))
        for one in (on_device, loaded, pickled):
            one.check_valid()
            assert_equal_batches(sample(one, 20, 0), sample(plain, 20, 0))
        with pytest.raises(ValueError, match="storage_device"):
            pickled.add(*play.step())


class TestInvalidFiles:
    """Loading raises one error and leaves the buffer unchanged."""

    @pytest.fixture
    def saved(self, tmp_path: Path) -> Path:
        make_filled(30, compression="lz4")[0].save(tmp_path / "buffer.npz")
        return tmp_path / "buffer.npz"

    def assert_rejected(self, path: Path, match: str, **kwargs: Any) -> None:
        buffer, _ = make_filled(9, seed=5, **{"compression": "lz4", **kwargs})
        before = sample(buffer, 20, 0)
        with pytest.raises(ReplayFileError, match=match) as raised:
            buffer.load(path)
        assert str(path) in str(raised.value)
        buffer.check_valid()
        assert buffer.size() == 9
        assert_equal_batches(sample(buffer, 20, 0), before)

    def test_rejects_truncated_other_and_missing_files(self, saved: Path) -> None:
        data = saved.read_bytes()
        for length in (0, 100, len(data) // 2, len(data) - 1):
            saved.write_bytes(data[:length])
            self.assert_rejected(saved, "is damaged")
        np.savez(saved, x=np.zeros(3))  # like files of earlier versions
        self.assert_rejected(saved, "not of format 4")
        write_archive(saved, {})
        self.assert_rejected(saved, "not a saved replay buffer")
        saved.unlink()
        self.assert_rejected(saved, "cannot be read")

    def test_detects_each_flipped_bit_that_changes_the_data(self, saved: Path) -> None:
        data = saved.read_bytes()
        rng = np.random.default_rng(0)
        whole, _ = make_filled(30, compression="lz4")
        n_refused = 0
        for position in rng.integers(len(data), size=150).tolist():
            damaged = bytearray(data)
            damaged[position] ^= 1 << int(rng.integers(8))
            saved.write_bytes(damaged)
            buffer, _ = make_filled(0, compression="lz4")
            try:
                buffer.load(saved)
            except ReplayFileError:
                n_refused += 1
                assert buffer.size() == 0
            else:
                assert_equal_batches(sample(buffer, 20, 0), sample(whole, 20, 0))
        assert n_refused > 100

    @pytest.mark.parametrize(
        ("kwargs", "match"),
        [
            ({"buffer_size": 60}, "n_rows=20.* 30"),
            ({"handle_timeout_termination": False}, "handle_timeout_termination=True"),
            ({"n_actions": 9}, r"'Discrete\(5\)'.* 'Discrete\(9\)'"),
            ({"n_stack": 3}, "observations="),
        ],
    )
    def test_rejects_other_settings(self, saved: Path, kwargs: dict[str, Any], match: str) -> None:
        self.assert_rejected(saved, match, **kwargs)

    def test_rejects_files_that_exceed_ram(
        self, saved: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        size = saved.stat().st_size
        for compression, available in (("lz4", size), (None, size + 42 * 30)):
            monkeypatch.setattr(frame_replay_buffer, "available_memory", lambda _: 10**9)
            buffer, _ = make_filled(9, compression=compression)
            monkeypatch.setattr(frame_replay_buffer, "available_memory", lambda _, n=available: n)
            with pytest.raises(ReplayMemoryError, match="compression='lz4'"):
                buffer.load(saved)
            assert buffer.size() == 9

    def test_memory_error_while_loading_leaves_the_buffer_unchanged(
        self, saved: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def restore(*args: Any) -> None:
            raise MemoryError

        buffer, _ = make_filled(9, seed=5)
        before = sample(buffer, 20, 0)
        monkeypatch.setattr(StackStorage, "restore", restore)
        with pytest.raises(MemoryError):
            buffer.load(saved)
        assert_equal_batches(sample(buffer, 20, 0), before)

    def test_rejects_altered_pickles_and_those_of_earlier_versions(self) -> None:
        """Pickles, as written by SB3's ``save_replay_buffer``, have checksums too."""
        buffer, _ = make_filled(30)
        state = buffer.__getstate__()
        text, arrays = state["rows"]
        altered = [array.copy() for array in arrays]
        altered[2].reshape(-1)[-1] ^= 1
        empty = FrameReplayBuffer.__new__(FrameReplayBuffer)
        with pytest.raises(ReplayFileError, match="array 2"):
            empty.__setstate__({**state, "rows": (text, altered)})
        del state["rows"]
        with pytest.raises(ReplayFileError, match="earlier version"):
            empty.__setstate__({**state, "arrays": {}})


def test_failed_save_leaves_the_old_file(tmp_path: Path, monkeypatch: Any) -> None:
    buffer, play = make_filled(10)
    buffer.save(tmp_path / "buffer.npz")
    older = (tmp_path / "buffer.npz").read_bytes()
    buffer.add(*play.step())

    def full_disk(*args: Any, **kwargs: Any) -> None:
        raise OSError("no space left on device")

    monkeypatch.setattr(np.lib.format, "write_array", full_disk)
    with pytest.raises(OSError, match="no space left"):
        buffer.save(tmp_path / "buffer.npz")
    assert [path.name for path in tmp_path.iterdir()] == ["buffer.npz"]
    assert (tmp_path / "buffer.npz").read_bytes() == older
