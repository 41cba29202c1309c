"""MP4 files: frames, sizes, colours; no partial files."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import imageio_ffmpeg  # type: ignore[import-untyped]
import numpy as np
import pytest
from numpy.typing import NDArray

from sb3_atari_course.report.video import write_video
from tests.report.video.video_reader import read_video


def noise(*shape: int, seed: int = 0) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, size=shape, dtype=np.uint8)


def blocks(height: int, width: int, *, number: int) -> NDArray[np.uint8]:
    """Return four flat colours that differ between frames."""
    frame = np.zeros((height, width, 3), np.uint8)
    half_h, half_w = height // 2, width // 2
    frame[:half_h, :half_w] = (200, 72, 10 * number)
    frame[:half_h, half_w:] = (10 * number, 200, 72)
    frame[half_h:, :half_w] = (72, 10 * number, 200)
    frame[half_h:, half_w:] = 255
    return frame


def enlarged(frame: NDArray[np.uint8], scale: int) -> NDArray[np.int64]:
    return np.kron(frame, np.ones((scale, scale, 1))).astype(np.int64)


def test_file_has_every_frame_in_its_colors(tmp_path: Path) -> None:
    frames = [blocks(210, 160, number=i) for i in range(20)]
    path = write_video(tmp_path / "new/game.mp4", iter(frames), fps=15)
    assert path == tmp_path / "new/game.mp4"
    about, read = read_video(path)
    for expected in ("h264", "yuv420p(tv, bt709, progressive)", "320x420", "15 fps"):
        assert expected in about
    assert read.shape == (20, 420, 320, 3)
    for is_now, was in zip(read, frames, strict=True):
        difference = np.abs(is_now.astype(np.int64) - enlarged(was, 2))
        assert difference.mean() < 1.5
        assert np.percentile(difference, 99) <= 6  # the edges of the blocks
    assert [file.name for file in path.parent.iterdir()] == ["game.mp4"]


def test_playback_can_start_before_the_download_ends(tmp_path: Path) -> None:
    data = write_video(tmp_path / "a.mp4", [noise(40, 40)] * 3).read_bytes()
    assert data.index(b"moov") < data.index(b"mdat")


@pytest.mark.parametrize(
    ("shape", "scale", "size"),
    [
        ((84, 84), None, (420, 420)),  # grey; width, height
        ((400, 600, 3), None, (600, 400)),
        ((33, 21, 3), 1, (22, 34)),
        ((33, 21), 3, (64, 100)),
    ],
)
def test_enlarges_frames_by_integers_to_even_sizes(
    shape: tuple[int, ...], scale: int | None, size: tuple[int, int], tmp_path: Path
) -> None:
    path = write_video(tmp_path / "a.mp4", [noise(*shape)] * 2, scale=scale)
    assert read_video(path)[1].shape == (2, size[1], size[0], 3)


def test_keeps_gray_levels(tmp_path: Path) -> None:
    ramp = np.repeat(np.arange(0, 256, 3, dtype=np.uint8)[None], 84, axis=0)  # (84, 86)
    _, frames = read_video(write_video(tmp_path / "a.mp4", [ramp] * 3, scale=4))
    difference = frames.astype(np.int64) - enlarged(ramp[..., None], 4)
    assert np.abs(difference).max() <= 4


def test_enlarges_without_interpolation(tmp_path: Path) -> None:
    board = np.zeros((8, 8, 3), np.uint8)
    board[::2, ::2] = board[1::2, 1::2] = 255
    _, frames = read_video(write_video(tmp_path / "a.mp4", [board], scale=10))
    assert np.abs(frames[0].astype(np.int64) - enlarged(board, 10)).max() <= 20


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_error_leaves_only_an_existing_file(error: type[BaseException], tmp_path: Path) -> None:
    old = write_video(tmp_path / "a.mp4", [noise(20, 20)]).read_bytes()

    def frames() -> Iterator[NDArray[np.uint8]]:
        yield from [noise(100, 100)] * 30
        raise error

    with pytest.raises(error):
        write_video(tmp_path / "a.mp4", frames())
    assert [file.name for file in tmp_path.iterdir()] == ["a.mp4"]
    assert (tmp_path / "a.mp4").read_bytes() == old


CTRL_C = """
import signal, sys, time
import numpy as np
from sb3_atari_course.report.video import write_video
signal.signal(signal.SIGINT, signal.default_int_handler)
frame = np.zeros((300, 300, 3), np.uint8)

def caught():
    yield frame
    try:
        print("recording", flush=True)
        time.sleep(60)
    except KeyboardInterrupt:
        time.sleep(0.2)
        yield frame

def endless():
    for i in range(10**9):
        yield frame
        i == 20 and print("recording", flush=True)

write_video("kept.mp4", caught())
try:
    write_video("lost.mp4", endless())
except KeyboardInterrupt:
    print("interrupted")
"""


@pytest.mark.process
def test_ctrl_c_leaves_no_partial_file_and_prints_nothing(tmp_path: Path) -> None:
    """The terminal sends SIGINT to its whole process group, which ffmpeg must not be in."""
    process = subprocess.Popen(
        [sys.executable, "-c", CTRL_C],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert process.stdout is not None
    for _ in range(2):
        assert process.stdout.readline() == "recording\n"
        os.killpg(process.pid, signal.SIGINT)
    assert process.communicate(timeout=60) == ("interrupted\n", "")
    assert [file.name for file in tmp_path.iterdir()] == ["kept.mp4"]
    assert len(read_video(tmp_path / "kept.mp4")[1]) == 2


@pytest.mark.parametrize(
    ("frames", "message"),
    [
        ([], "no frames were given"),
        ([noise(4, 4), noise(4, 5)], r"first has \(4, 4\), frame 1 has \(4, 5\)"),
        ([noise(4, 4) / 255], "uint8, 0 to 255, got float64"),
        ([noise(4, 4, 4)], r"shape \(H, W, 3\) or \(H, W\), got \(4, 4, 4\)"),
        ([noise(0, 4)], r"got \(0, 4\)"),
        ([None], "render_mode='rgb_array'"),
    ],
)
def test_rejects_invalid_frames_and_leaves_no_file(
    frames: list[Any], message: str, tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match=message) as caught:
        write_video(tmp_path / "a.mp4", frames)
    assert "\n" not in str(caught.value)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("name", "settings", "error", "message"),
    [
        ("a.gif", {}, ValueError, r"\.mp4, got a\.gif"),
        ("a.mp4", {"fps": 0}, ValueError, "fps must be positive, got 0"),
        ("a.mp4", {"scale": 1.5}, TypeError, "scale must be an integer"),
    ],
)
def test_rejects_invalid_settings(
    name: str, settings: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        write_video(name, [noise(4, 4)], **settings)


def test_error_names_the_unwritable_path(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "folder.mp4").mkdir()
    for path in (tmp_path / "file/a.mp4", tmp_path / "folder.mp4"):
        with pytest.raises(OSError, match=f"cannot write {path}: "):
            write_video(path, [noise(4, 4)])
    assert sorted(file.name for file in tmp_path.iterdir()) == ["file", "folder.mp4"]


@pytest.mark.parametrize("shape", [(4, 4), (400, 400)])
def test_full_disk_leaves_no_partial_file(
    shape: tuple[int, int], tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """A limit of the file size has the effect of a full disk on ffmpeg."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    request.addfinalizer(lambda: resource.setrlimit(resource.RLIMIT_FSIZE, limits))
    resource.setrlimit(resource.RLIMIT_FSIZE, (900, limits[1]))
    with pytest.raises(OSError, match=r"writing .*a\.mp4 failed"):
        write_video(tmp_path / "out/a.mp4", [noise(*shape)] * 60)
    assert not list((tmp_path / "out").iterdir())


def test_detects_missing_frames(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An ffmpeg that dies early leaves a playable video."""
    write_frames = imageio_ffmpeg.write_frames

    def write_one_less(*args: Any, **kwargs: Any) -> Iterator[None]:
        with closing(write_frames(*args, **kwargs)) as writer:
            writer.send(None)
            yield  # gets the first frame, and drops it
            while True:
                writer.send((yield))

    monkeypatch.setattr(imageio_ffmpeg, "write_frames", write_one_less)
    with pytest.raises(OSError, match=r"a\.mp4 failed"):
        write_video(tmp_path / "a.mp4", [noise(16, 16, 3)] * 5)
    assert not list(tmp_path.iterdir())


def test_error_names_the_missing_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "imageio_ffmpeg", None)
    with pytest.raises(ImportError, match=r'pip install "sb3_atari_course\[video\]"'):
        write_video(tmp_path / "new/a.mp4", [])
    assert not list(tmp_path.iterdir())
