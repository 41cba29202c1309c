"""Saved replay memories: exact, without pickle, and refused as a whole if anything is wrong."""

from __future__ import annotations

import copy
import io
import json
import pickle
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch as th
from gymnasium import spaces

from sb3_atari_course._common.errors import ReplayMemoryError
from sb3_atari_course.replay import FrameReplayBuffer, ReplayFileError, saved_files
from sb3_atari_course.replay.saved_files import SMALL_ARRAYS
from tests.fakes import StackedPlay
from tests.replay.test_frame_replay_buffer import assert_equal_batches, sample
from tests.replay.test_training import make_model

N_ENVS = 2


def make_buffer(play: StackedPlay, buffer_size: int = 40, **kwargs: Any) -> FrameReplayBuffer:
    settings = (buffer_size, play.observation_space, play.action_space, "cpu", N_ENVS)
    return FrameReplayBuffer(*settings, **kwargs)


def make_filled(n_rows: int, seed: int = 0, **kwargs: Any) -> tuple[FrameReplayBuffer, StackedPlay]:
    play = StackedPlay(seed, n_envs=N_ENVS)
    play.action_space = spaces.Discrete(kwargs.pop("n_actions", 5))
    buffer = make_buffer(play, **kwargs)
    for _ in range(n_rows):
        buffer.add(*play.step())
    return buffer, play


@pytest.mark.parametrize("way", ["file", "pickle", "deepcopy"])
@pytest.mark.parametrize("compression", [None, "lz4"])
@pytest.mark.parametrize("n_steps", [0, 7, 20, 53])
def test_a_memory_comes_back_and_goes_on_as_if_nothing_had_happened(
    n_steps: int, compression: Any, way: str, tmp_path: Path
) -> None:
    buffer, play = make_filled(n_steps, compression=compression)
    if way == "file":
        buffer.save(tmp_path / "memory.npz")
        loaded, _ = make_filled(30, seed=9, compression=compression)  # what is there is replaced
        loaded.load(tmp_path / "memory.npz")
    elif way == "pickle":
        loaded = pickle.loads(pickle.dumps(buffer))
    else:
        loaded = copy.deepcopy(buffer)
    loaded.check_valid()
    assert (loaded.pos, loaded.full) == (buffer.pos, buffer.full)
    for step in range(45):  # two turns of the ring
        if step or n_steps:
            assert_equal_batches(sample(loaded, 20, step), sample(buffer, 20, step))
        transition = play.step()
        buffer.add(*transition)
        loaded.add(*transition)
        loaded.check_valid()
    assert loaded.stacks.table.n_frames == buffer.stacks.table.n_frames


@pytest.mark.parametrize("compression", [None, "lz4"])
@pytest.mark.parametrize("n_rows", [0, 1, 7, 20, 53])
def test_a_file_of_the_other_compression_is_converted(
    n_rows: int, compression: Any, tmp_path: Path
) -> None:
    buffer, play = make_filled(n_rows, compression=compression)
    buffer.save(tmp_path / "memory.npz")
    other = "lz4" if compression is None else None
    loaded, _ = make_filled(30, seed=9, compression=other)
    loaded.load(tmp_path / "memory.npz")
    assert loaded.compression == other
    loaded.check_valid()
    for name in ("observations", "next_observations", *SMALL_ARRAYS):
        n = buffer.size()
        assert (getattr(loaded, name)[:n] == getattr(buffer, name)[:n]).all(), name
    for step in range(30):
        transition = play.step()
        buffer.add(*transition)
        loaded.add(*transition)
        loaded.check_valid()
        assert_equal_batches(sample(loaded, 20, step), sample(buffer, 20, step))


def test_a_number_without_a_frame_is_no_hindrance_to_unpacking(tmp_path: Path) -> None:
    """An interruption can leave one."""
    buffer, _ = make_filled(15, compression="lz4")
    buffer.stacks.table._reserve(1)
    buffer.save(tmp_path / "memory.npz")
    loaded, _ = make_filled(0)
    loaded.load(tmp_path / "memory.npz")
    loaded.check_valid()
    assert_equal_batches(sample(loaded, 20, 0), sample(buffer, 20, 0))


def test_frames_that_do_not_fit_unpacked_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_filled(15, compression="lz4")[0].save(tmp_path / "memory.npz")
    loaded, _ = make_filled(9)
    available = iter([10**6, 1000])  # for the file, for its frames unpacked
    monkeypatch.setattr(saved_files, "available_memory", lambda device: next(available))
    with pytest.raises(ReplayMemoryError, match=r"needed, 0.0 MB are available: .*'lz4'"):
        loaded.load(tmp_path / "memory.npz")
    assert loaded.size() == 9


class TestAutomaticDevice:
    """Frames go where batches go, on the machine where the buffer is used.

    A GPU is not needed: its frames stay on the CPU until the next one is added.
    """

    @pytest.fixture
    def gpu(self, monkeypatch: pytest.MonkeyPatch) -> Any:
        """Return a function that lets PyTorch find a GPU, or none."""

        def is_there(answer: bool) -> None:
            monkeypatch.setattr(th.cuda, "is_available", lambda: answer)
            monkeypatch.setattr(th.cuda, "device_count", lambda: int(answer))

        is_there(False)
        return is_there

    @staticmethod
    def make(play: StackedPlay, device: Any, **kwargs: Any) -> FrameReplayBuffer:
        settings = (40, play.observation_space, play.action_space, device, N_ENVS)
        return FrameReplayBuffer(*settings, storage_device="auto", **kwargs)

    @pytest.mark.parametrize("device", ["auto", "cuda", th.device("cuda", 0)])
    def test_saved_with_a_gpu_and_loaded_without_one(self, gpu: Any, device: Any) -> None:
        play = StackedPlay(0, n_envs=N_ENVS)
        gpu(True)
        buffer, plain = self.make(play, device), make_buffer(play)
        assert buffer.device.type == buffer.storage_device.type == "cuda"
        buffer.stacks.table.store.device = th.device("cpu")  # there is none really
        for _ in range(15):
            transition = play.step()
            buffer.add(*transition)
            plain.add(*transition)
        assert buffer.lies_on_card
        pickled = pickle.dumps(buffer)
        gpu(False)
        loaded = pickle.loads(pickled)
        assert loaded.device == loaded.storage_device == th.device("cpu")
        assert not loaded.lies_on_card
        for step in range(20):
            assert_equal_batches(sample(loaded, 20, step), sample(plain, 20, step))
            transition = play.step()
            loaded.add(*transition)
            plain.add(*transition)
            loaded.check_valid()

    @pytest.mark.parametrize("by_sb3", [False, True])
    def test_saved_without_a_gpu_and_loaded_with_one(self, gpu: Any, by_sb3: bool) -> None:
        """SB3's models set the device of a buffer that they load."""
        play = StackedPlay(0, n_envs=N_ENVS)
        buffer = self.make(play, th.device("cpu") if by_sb3 else "auto")
        for _ in range(15):
            buffer.add(*play.step())
        assert buffer.storage_device == th.device("cpu")
        pickled = pickle.dumps(buffer)
        gpu(True)
        loaded = pickle.loads(pickled)
        if by_sb3:
            assert not loaded.lies_on_card
            loaded.device = th.device("cuda")
        assert loaded.storage_device == loaded.stacks.table.store.device == th.device("cuda")
        assert loaded.lies_on_card
        assert (loaded.pos, loaded.full) == (15, False)
        assert (np.asarray(loaded.observations[:15]) == buffer.observations[:15]).all()
        assert (loaded.rewards == buffer.rewards).all()
        assert pickle.loads(pickle.dumps(loaded)).lies_on_card
        loaded.device = th.device("cpu")  # by a model there
        assert not loaded.lies_on_card
        loaded.add(*play.step())
        loaded.check_valid()

    def test_through_a_model(self, gpu: Any, tmp_path: Path) -> None:
        model = make_model(0.99, storage_device="auto").learn(32)
        model.save_replay_buffer(tmp_path / "buffer")
        gpu(True)
        model.device = th.device("cuda")
        model.load_replay_buffer(tmp_path / "buffer")
        buffer = model.replay_buffer
        assert isinstance(buffer, FrameReplayBuffer)
        assert buffer.lies_on_card
        assert buffer.size() == 32

    def test_packed_frames_stay_on_the_cpu(self, gpu: Any) -> None:
        gpu(True)
        play = StackedPlay(0, n_envs=N_ENVS)
        buffer = self.make(play, "cuda", compression="lz4")
        assert buffer.storage_device == th.device("cpu")
        buffer.add(*play.step())
        buffer.check_valid()

    def test_another_device_than_batches_is_kept(self, gpu: Any) -> None:
        play = StackedPlay(0, n_envs=N_ENVS)
        buffer = make_buffer(play)
        gpu(True)
        buffer.device = th.device("cuda")
        assert buffer.storage_device == th.device("cpu")
        assert pickle.loads(pickle.dumps(buffer)).storage_device == th.device("cpu")

    @pytest.mark.parametrize("place", ["cpu", "cuda"])
    def test_pickles_of_the_version_before(self, gpu: Any, place: str) -> None:
        """They have the device that "auto" was then, as in ``{"storage_device": cuda}``."""
        buffer, _ = make_filled(15)
        state = buffer.__getstate__()
        for name in ("_device", "_asked_device", "_storage_device"):
            del state[name]
        state |= {"device": th.device("cuda"), "storage_device": th.device(place)}
        without = FrameReplayBuffer.__new__(FrameReplayBuffer)
        without.__setstate__(dict(state))
        assert without.device == without.storage_device == th.device("cpu")
        assert_equal_batches(sample(without, 20, 0), sample(buffer, 20, 0))
        gpu(True)
        with_one = FrameReplayBuffer.__new__(FrameReplayBuffer)
        with_one.__setstate__(dict(state))
        assert with_one.device.type == "cuda"
        assert with_one.storage_device.type == place


def test_n_steps_may_be_others_when_a_memory_is_loaded(tmp_path: Path) -> None:
    buffer, _ = make_filled(25)
    buffer.save(tmp_path / "memory")
    loaded, _ = make_filled(0, n_steps=3)
    loaded.load(tmp_path / "memory")
    assert sample(loaded, 5, 0).discounts is not None


def test_only_what_is_filled_is_saved(tmp_path: Path) -> None:
    play = StackedPlay(0, n_envs=N_ENVS, image_shape=(40, 40))
    large = make_buffer(play, 1_000_000)
    for _ in range(10):
        large.add(*play.step())
    large.save(tmp_path / "memory.npz")
    assert (tmp_path / "memory.npz").stat().st_size < 80 * 1600
    assert len(pickle.dumps(large)) < 80 * 1600


def test_the_file_is_an_npz_and_a_json_without_pickle(tmp_path: Path) -> None:
    buffer, _ = make_filled(10)
    buffer.save(tmp_path / "memory.npz")
    with np.load(tmp_path / "memory.npz", allow_pickle=False) as arrays:
        assert (arrays["rewards"] == buffer.rewards[:10]).all()
        settings = json.loads(arrays["replay.json"])
    assert settings["buffer_size"] == 40
    assert settings["n_envs"] == N_ENVS
    assert [path.name for path in tmp_path.iterdir()] == ["memory.npz"]  # nothing left aside


def test_frames_of_a_card_are_saved_as_arrays_and_open_without_one(tmp_path: Path) -> None:
    """The store of a card, on the CPU; what it saves is a plain memory."""
    on_device, play = make_filled(0)
    on_device.storage_device = th.device("cuda")
    on_device.reset()
    on_device.storage_device = on_device.stacks.table.store.device = th.device("cpu")
    plain = make_buffer(play)
    for _ in range(30):
        transition = play.step()
        on_device.add(*transition)
        plain.add(*transition)
    assert type(on_device.stacks.table.store).__name__ == "DeviceFrames"
    assert_equal_batches(sample(on_device, 20, 0), sample(plain, 20, 0))
    on_device.check_valid()
    on_device.save(tmp_path / "memory")
    loaded = make_buffer(play)
    loaded.load(tmp_path / "memory")
    assert_equal_batches(sample(loaded, 20, 0), sample(plain, 20, 0))
    on_device.storage_device = th.device("cuda")
    data = pickle.dumps(on_device)
    assert b"cuda" in data
    pickled = pickle.loads(data)  # a card need not be there
    assert_equal_batches(sample(pickled, 20, 0), sample(plain, 20, 0))
    if not th.cuda.is_available():
        with pytest.raises(ValueError, match="this machine has no such card"):
            pickled.add(*play.step())


class TestDamage:
    """Whatever is wrong: one clear error, and the buffer stays as it was."""

    @pytest.fixture
    def saved(self, tmp_path: Path) -> Path:
        buffer, _ = make_filled(30, compression="lz4")
        buffer.save(tmp_path / "memory.npz")
        return tmp_path / "memory.npz"

    def refuse(self, path: Path, match: str = "", **kwargs: Any) -> None:
        buffer, _ = make_filled(9, seed=5, **{"compression": "lz4", **kwargs})
        before = sample(buffer, 20, 0)
        with pytest.raises(ReplayFileError, match=match):
            buffer.load(path)
        buffer.check_valid()
        assert buffer.size() == 9
        assert_equal_batches(sample(buffer, 20, 0), before)

    def test_cut_short(self, saved: Path) -> None:
        data = saved.read_bytes()
        for length in (0, 1, 100, len(data) // 2, len(data) - 1):
            saved.write_bytes(data[:length])
            self.refuse(saved, "is damaged or not a replay buffer")

    def test_a_flipped_bit_in_a_header_of_a_larger_file(self, tmp_path: Path) -> None:
        """Beyond 4 kB the zip's own checksum comes only after numpy has read the header."""
        buffer, _ = make_filled(300, buffer_size=600)
        buffer.save(tmp_path / "memory.npz")
        data = (tmp_path / "memory.npz").read_bytes()
        start = data.index(b"NUMPY", data.index(b"numbers.npy")) - 1
        for position in range(start, start + 128):
            damaged = bytearray(data)
            damaged[position] ^= 1 << (position % 8)
            (tmp_path / "memory.npz").write_bytes(damaged)
            loaded = make_filled(0, buffer_size=600)[0]
            with pytest.raises(ReplayFileError):
                loaded.load(tmp_path / "memory.npz")
            assert loaded.size() == 0

    def test_a_flipped_bit_anywhere(self, saved: Path) -> None:
        """It is refused, or it is where it does not matter and all is read as it was."""
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

    @pytest.mark.parametrize("name", ["numbers", "actions", "rewards", "blobs", "reference"])
    def test_an_array_replaced_with_its_zip_checksum(self, saved: Path, name: str) -> None:
        self.rewrite(saved, name + ".npy", lambda array: array + 1)
        self.refuse(saved, f"array '{name}' .*was altered")

    def test_settings_replaced(self, saved: Path) -> None:
        self.rewrite(saved, "replay.json", lambda text: text.replace(b'"pos": 10', b'"pos": 11'))
        self.refuse(saved, "replay.json was altered")

    def test_an_array_that_says_it_is_larger_than_any_memory(self, saved: Path) -> None:
        header = io.BytesIO()
        description = {"descr": "<f4", "fortran_order": False, "shape": (10**13,)}
        np.lib.format.write_array_header_1_0(header, description)
        with zipfile.ZipFile(saved) as archive:
            members = {name: archive.read(name) for name in archive.namelist()}
        members["dones.npy"] = header.getvalue() + bytes(100)
        with zipfile.ZipFile(saved, "w") as archive:
            for name, content in members.items():
                archive.writestr(name, content)
        self.refuse(saved, "is damaged or not a replay buffer")

    def test_of_another_version(self, saved: Path, monkeypatch: Any) -> None:
        monkeypatch.setattr(saved_files, "VERSION", 2)
        self.refuse(saved, "was saved with version=1, here it is 2")

    @pytest.mark.parametrize("wrong", [np.zeros((14, 2)), np.zeros((15, 2), np.float32), None])
    def test_arrays_that_do_not_fit_together(self, saved: Path, wrong: Any) -> None:
        """With checksums that are right: nothing is half-loaded all the same."""
        buffer, _ = make_filled(14, compression="lz4")
        arrays = {**buffer._arrays(), "dones": wrong}
        if wrong is None:
            del arrays["dones"]
        saved_files.write_replay(saved, {**buffer._settings(), "pos": 14, "full": False}, arrays)
        self.refuse(saved, "array 'dones'")

    def test_a_member_missing(self, saved: Path) -> None:
        self.rewrite(saved, "dones.npy", lambda _: None)
        self.refuse(saved, "dones.npy")

    @pytest.mark.parametrize(
        ("kwargs", "match"),
        [
            ({"buffer_size": 60}, "with buffer_size=40, here it is 60"),
            ({"handle_timeout_termination": False}, "handle_timeout_termination=True, here"),
            ({"n_actions": 9}, r"actions='Discrete\(5\)', here it is 'Discrete\(9\)'"),
        ],
    )
    def test_of_other_settings(self, saved: Path, kwargs: dict[str, Any], match: str) -> None:
        self.refuse(saved, match, **kwargs)

    def test_of_other_observations(self, saved: Path) -> None:
        play = StackedPlay(0, n_envs=N_ENVS, n_stack=3)
        with pytest.raises(ReplayFileError, match=r"observations=\[4, 6, 7\], here it is \[3, 6,"):
            make_buffer(play, compression="lz4").load(saved)

    def test_a_damaged_frame_that_is_to_be_unpacked(self, saved: Path) -> None:
        """With checksums that are right."""
        buffer, _ = make_filled(14, compression="lz4")
        settings = {**buffer._settings(), "pos": 14, "full": False}
        for name in ("blobs", "lengths", "reference"):
            arrays = buffer._arrays()
            arrays[name] = arrays[name][1:].copy()
            saved_files.write_replay(saved, settings, arrays)
            self.refuse(saved, "frame|reference|bytes", compression=None)

    def test_more_than_there_is_memory(self, saved: Path, monkeypatch: Any) -> None:
        monkeypatch.setattr(saved_files, "available_memory", lambda device: 1000)
        buffer, _ = make_filled(9, compression="lz4")
        with pytest.raises(ReplayMemoryError, match=r"needed, 0.0 MB are available"):
            buffer.load(saved)
        assert buffer.size() == 9

    def test_a_pickle_with_an_altered_array(self) -> None:
        """SB3's save_replay_buffer writes one; it is as safe against accidents as ours."""
        data = pickle.dumps(make_filled(30)[0])
        frames = make_filled(30)[0].stacks.arrays()["frames"]
        position = data.index(frames[3].tobytes()) + 5
        damaged = data[:position] + bytes([data[position] ^ 1]) + data[position + 1 :]
        with pytest.raises(ReplayFileError, match=r"array .frames. .* was altered"):
            pickle.loads(damaged)

    def test_something_else(self, tmp_path: Path) -> None:
        np.savez(tmp_path / "other.npz", x=np.zeros(3))
        self.refuse(tmp_path / "other.npz", "is damaged or not a replay buffer")
        (tmp_path / "text").write_text("no zip")
        self.refuse(tmp_path / "text", "is damaged or not a replay buffer: File is not a zip file")

    def test_no_file(self, tmp_path: Path) -> None:
        with pytest.raises(FileNotFoundError):
            make_filled(0)[0].load(tmp_path / "nothing.npz")

    def rewrite(self, path: Path, name: str, change: Any) -> None:
        """Write the zip again with one member changed; its own checksums are right again."""
        with zipfile.ZipFile(path) as archive:
            members = {member: archive.read(member) for member in archive.namelist()}
        if name.endswith(".npy"):
            array = change(np.load(io.BytesIO(members[name])))
            file = io.BytesIO()
            if array is not None:
                np.save(file, array)
            members[name] = file.getvalue()
        else:
            members[name] = change(members[name])
        with zipfile.ZipFile(path, "w") as archive:
            for member, content in members.items():
                if content:
                    archive.writestr(member, content)


def test_a_failed_save_leaves_the_older_file(tmp_path: Path, monkeypatch: Any) -> None:
    buffer, play = make_filled(10)
    buffer.save(tmp_path / "memory.npz")
    older = (tmp_path / "memory.npz").read_bytes()
    buffer.add(*play.step())

    def full_disk(*args: Any, **kwargs: Any) -> None:
        raise OSError("no space left on device")

    monkeypatch.setattr(np.lib.format, "write_array", full_disk)
    with pytest.raises(OSError, match="no space left"):
        buffer.save(tmp_path / "memory.npz")
    assert [path.name for path in tmp_path.iterdir()] == ["memory.npz"]
    assert (tmp_path / "memory.npz").read_bytes() == older
