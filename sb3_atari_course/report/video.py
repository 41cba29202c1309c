"""Videos of games: recording, MP4 files, and a player for HTML pages."""

from __future__ import annotations

import base64
import os
import secrets
import subprocess
import tempfile
import weakref
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Any, SupportsFloat

import gymnasium as gym
import numpy as np
from gymnasium.wrappers import OrderEnforcing, PassiveEnvChecker
from numpy.typing import NDArray
from stable_baselines3.common.monitor import Monitor

from sb3_atari_course._common.validation import (
    explain_arguments,
    finite_number,
    integer_at_least,
    probability,
)
from sb3_atari_course.evaluation import play_game
from sb3_atari_course.evaluation.player import Model, Player, fit_to_model
from sb3_atari_course.evaluation.protocol import ScoreKeeper


def video_html(path: str | Path, *, width: int | None = None) -> str:
    """Return a ``<video>`` element with an MP4 file inside.

    :param path: of the file.
    :param width: of the player, in pixels; None leaves it to the page.
    """
    data = base64.b64encode(Path(path).read_bytes()).decode("ascii")
    size = "" if width is None else f' width="{width}"'
    return (
        f'<video controls loop muted playsinline preload="auto"{size}'
        f' src="data:video/mp4;base64,{data}"></video>'
    )


#: The colours, said in the file: players guess otherwise, and not all the same.
_COLOURS = "setparams=colorspace=bt709:color_primaries=bt709:color_trc=bt709:range=tv"

#: crf 18 is near the eye's limit; "animation" suits flat colours: smaller files, nearer colours.
_H264 = ["-c:v", "libx264", "-pix_fmt", "yuv420p", "-crf", "18", "-tune", "animation"]


def find_ffmpeg() -> str:
    """Return the path of ffmpeg; ``IMAGEIO_FFMPEG_EXE`` in the environment names another one.

    :raises ImportError: without the extra ``video``.
    :raises RuntimeError: if there is none for this machine.
    """
    try:
        import imageio_ffmpeg  # type: ignore[import-untyped]
    except ImportError:
        raise ImportError(
            'writing videos needs the extra "video": pip install "sb3_atari_course[video]"'
        ) from None
    return str(imageio_ffmpeg.get_ffmpeg_exe())


class Encoder:
    """A running ffmpeg that makes H.264 of the frames written to it.

    imageio-ffmpeg brings the program; its own generator lets ffmpeg print to the terminal, and
    leaves one that it had to kill unwaited for.

    :param path: of the file; replaced if it exists.
    :param shape: (h, w) grey or (h, w, 3) colour, in pixels.
    :param fps: frames per second of the video.
    :param scale: every pixel becomes ``scale`` by ``scale`` ones.
    :raises OSError: if ffmpeg cannot be started.
    """

    def __init__(self, path: Path, *, shape: tuple[int, ...], fps: float, scale: int) -> None:
        command = [
            *(find_ffmpeg(), "-y", "-v", "error", "-f", "rawvideo"),
            *("-pix_fmt", "gray" if len(shape) == 2 else "rgb24"),
            *("-s", f"{shape[1]}x{shape[0]}", "-r", str(Fraction(fps).limit_denominator(10_000))),
            *("-i", "-", "-an", "-vf", _filters(shape, scale), *_H264),
            *("-movflags", "+faststart", "-f", "mp4", str(path)),
        ]
        # a file and no pipe: nobody reads while frames are written
        self._messages = tempfile.TemporaryFile()  # noqa: SIM115  # closed with the process
        try:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=self._messages,
                start_new_session=True,  # Ctrl-C is for us; we decide what becomes of the film
                creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),  # the same, on Windows
            )
        except BaseException:
            self._messages.close()
            raise

    def write(self, pixels: Any) -> None:
        """Write one frame.

        :param pixels: a C-contiguous uint8 array.
        :raises OSError: if ffmpeg has given up, with what it said.
        """
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(pixels)
        except OSError:
            self._process.wait()
            raise OSError(self._last_message()) from None

    def finish(self) -> None:
        """Wait until the file is whole.

        :raises OSError: if it failed, with what ffmpeg said.
        """
        assert self._process.stdin is not None
        with suppress(OSError):  # a pipe that broke: the exit status tells more
            self._process.stdin.close()
        if self._process.wait() != 0:
            raise OSError(self._last_message())
        self._messages.close()

    def kill(self) -> None:
        """Stop at once; the file is of no use. Again is allowed."""
        assert self._process.stdin is not None
        self._process.kill()
        with suppress(OSError):
            self._process.stdin.close()
        self._process.wait()
        self._messages.close()

    def _last_message(self) -> str:
        """Return the last line that ffmpeg wrote."""
        self._messages.seek(0)
        lines = self._messages.read().decode(errors="replace").strip().splitlines()
        return lines[-1] if lines else f"ffmpeg ended with status {self._process.returncode}"


def _filters(shape: tuple[int, ...], scale: int) -> str:
    """Return ffmpeg's filters: enlarge without blur, convert the colours, pad to even sizes."""
    height, width = shape[0] * scale, shape[1] * scale
    flags = "neighbor" if scale > 1 else "bicubic"  # bicubic: colours at half the resolution
    chain = [
        f"scale={width}:{height}:flags={flags}+accurate_rnd:out_range=tv:out_color_matrix=bt709",
        _COLOURS,
    ]
    if height % 2 or width % 2:  # yuv420p has one colour for 2 by 2 pixels
        chain = [*chain, f"pad={width + width % 2}:{height + height % 2}"]
    return ",".join(chain)


#: Small pictures are enlarged to at least this height, in pixels.
LEAST_HEIGHT = 400


class VideoWriter:
    """Writes frames to an MP4 file, one by one; none is kept in memory.

    The file appears, whole, when the ``with`` block ends; an error inside, or Ctrl-C, leaves
    nothing, and a file that was there before as it was. Without ``with``, call :meth:`close` or
    :meth:`discard`; a writer that is forgotten discards its film.

    :param path: of the file, ending in ``.mp4``; its folder is made if missing.
    :param fps: frames per second of the video. An Atari game filmed once an agent step (of 4
        emulator frames) plays in real time at 15, twice as fast at 30.
    :param scale: each pixel becomes ``scale`` by ``scale`` of them, without blur; None for the
        smallest one with which the picture is at least 400 pixels high.
    :raises TypeError: for a ``scale`` that is no integer, an ``fps`` that is no number.
    :raises ValueError: if one of them is not positive, if ``path`` has another ending.
    """

    def __init__(self, path: str | Path, *, fps: float = 30, scale: int | None = None) -> None:
        self.path = Path(path)
        if self.path.suffix.lower() != ".mp4":
            raise ValueError(f"a video is an MP4 file, call it {self.path.stem}.mp4; got {path}")
        self.fps = finite_number("fps", fps)
        if self.fps <= 0:
            raise ValueError(f"fps must be positive, got {fps}")
        self.scale = None if scale is None else integer_at_least(1, "scale", scale)
        self.n_frames = 0
        self._shape: tuple[int, ...] = ()
        self._encoder: Encoder | None = None
        self._aside: Path | None = None  # where the film grows
        self._stop: Any = None  # discards it
        self._closed = False

    def __enter__(self) -> VideoWriter:
        find_ffmpeg()  # what is missing is missed before the first frame
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        if error is None:
            self.close()
        else:
            self.discard()

    def add(self, frame: NDArray[np.uint8]) -> None:
        """Add a frame.

        :param frame: (H, W, 3) colour or (H, W) grey, uint8, all of one shape.
        :raises ValueError: for another shape or dtype, for a writer that is closed.
        :raises ImportError: without the extra ``video``.
        :raises OSError: if the folder cannot be written to, the disk is full, ...
        """
        if self._closed:
            raise ValueError(f"the video {self.path} is closed: make another VideoWriter")
        pixels = _checked_frame(frame)
        if self._encoder is None:
            self._begin(pixels.shape)
        if pixels.shape != self._shape:
            raise ValueError(
                f"all frames of a video have one shape: the first has {self._shape},"
                f" frame {self.n_frames} has {pixels.shape}"
            )
        assert self._encoder is not None
        try:
            self._encoder.write(pixels)
        except OSError as error:
            self.discard()
            raise OSError(f"writing {self.path} failed: {error}") from None
        self.n_frames += 1

    def close(self) -> None:
        """Finish the file; again is allowed.

        :raises ValueError: if there are no frames.
        :raises OSError: if it could not be written.
        """
        if self._closed:
            return
        if self._encoder is None:
            self._closed = True
            raise ValueError(f"no frames were added, so there is no video {self.path}")
        assert self._aside is not None
        try:
            self._encoder.finish()
            os.replace(self._aside, self.path)
        except OSError as error:
            raise OSError(f"writing {self.path} failed: {error}") from None
        finally:
            self.discard()  # nothing of it, if all went well

    def discard(self) -> None:
        """Stop, and leave no file; again is allowed."""
        self._closed = True
        if self._stop is not None:
            self._stop()

    def _begin(self, shape: tuple[int, ...]) -> None:
        """Start the encoder beside the file to be, so that renaming it is enough in the end."""
        aside = self.path.with_name(f".{self.path.stem}.{secrets.token_hex(4)}.part")
        scale = self.scale or -(-LEAST_HEIGHT // shape[0])
        find_ffmpeg()
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            if self.path.is_dir():
                raise IsADirectoryError(0, "it is a folder")
            aside.touch(exist_ok=False)
        except OSError as error:
            raise OSError(
                f"cannot write {self.path}: {error.strerror}; choose another place"
            ) from None
        try:
            self._encoder = Encoder(aside, shape=shape, fps=self.fps, scale=scale)
        except BaseException:
            aside.unlink()
            raise
        self._aside, self._shape = aside, shape
        self._stop = weakref.finalize(self, _clear_away, self._encoder, aside)


def write_video(
    path: str | Path,
    frames: Iterable[NDArray[np.uint8]],
    *,
    fps: float = 30,
    scale: int | None = None,
) -> Path:
    """Write frames to an MP4 file; they may come from a generator.

    :param path: of the file, ending in ``.mp4``.
    :param frames: (H, W, 3) or (H, W) uint8 each, all of one shape.
    :param fps: frames per second of the video.
    :param scale: as in :class:`VideoWriter`.
    :return: the path.
    :raises ValueError: for no frames, and as :class:`VideoWriter` does.
    :raises ImportError: without the extra ``video``.
    :raises OSError: if the file cannot be written.
    """
    with VideoWriter(path, fps=fps, scale=scale) as video:
        for frame in frames:
            video.add(frame)
    return video.path


def _checked_frame(frame: Any) -> NDArray[np.uint8]:
    """Return the frame, contiguous; refuse what is none."""
    if frame is None:
        raise ValueError("got None for a frame: make the environment with render_mode='rgb_array'")
    pixels = np.asarray(frame)
    is_picture = pixels.ndim == 2 or (pixels.ndim == 3 and pixels.shape[2] == 3)
    if not is_picture or 0 in pixels.shape:
        raise ValueError(f"a frame has the shape (H, W, 3) or (H, W), got {pixels.shape}")
    if pixels.dtype != np.uint8:
        raise ValueError(
            f"the pixels of a frame are uint8, 0 to 255, got {pixels.dtype}:"
            " (255 * frame).astype(np.uint8) if they are 0 to 1"
        )
    return np.ascontiguousarray(pixels)


def _clear_away(encoder: Encoder, aside: Path) -> None:
    encoder.kill()
    aside.unlink(missing_ok=True)


Frame = NDArray[np.uint8]
Draw = Callable[[Frame, Any, Any], Frame]

#: What ``gym.make`` and SB3 put directly around a game: part of it, no wrapper of the model.
_PART_OF_THE_GAME = (OrderEnforcing, PassiveEnvChecker, Monitor)


@dataclass(frozen=True)
class Film:
    """A game that was filmed.

    :param frames: (H, W, 3) uint8 each: the screen before each agent step, and the last one.
    :param score: true score of the game, whatever wrappers clip.
    :param n_steps: its length in agent steps.
    """

    frames: list[Frame]
    score: float
    n_steps: int


@explain_arguments
def film_game(
    model: Model,
    env: gym.Env[Any, Any],
    *,
    seed: int | Sequence[int] | None = None,
    epsilon: float = 0.0,
    max_steps: int = 5_000,
    draw: Draw | None = None,
) -> Film:
    """Play one whole game with a model, through all lives, and film it.

    It is played as :func:`.evaluate_games` plays; with ``seed=(s, i)`` and the same wrappers it is
    game i of ``evaluate_games(seed=s)``. All frames are kept: 0.1 MB a step for an Atari game.

    :param model: an SB3 model, or anything with its ``predict``.
    :param env: a single environment as the model's, made with ``render_mode="rgb_array"``; it is
        left open, in the state in which the game ended. Frames are stacked if the model reads
        more of them.
    :param seed: decides the start and the random actions; None for another game each time.
    :param epsilon: probability of a random action, 0 to 1.
    :param max_steps: cap on the length, in agent steps.
    :param draw: called with the frame, the observation that belongs to it and the action chosen
        there (for the last frame, on which none is: the last one); returns the frame to keep.
    :raises ValueError: for another ``render_mode``, a number out of range, spaces that are not
        those of the model (``env`` is closed then), a wrapper that restarts the game at a life
        loss.
    :raises TypeError: for a ``max_steps`` that is not an integer, an ``env`` that is not a single
        environment, a model without ``predict``.
    """
    integer_at_least(1, "max_steps", max_steps)
    epsilon = probability("epsilon", epsilon)
    if not isinstance(env, gym.Env):
        raise TypeError(
            f"env must be a single environment, got {env!r}: gym.make(..., render_mode='rgb_array')"
        )
    if env.render_mode != "rgb_array":
        raise ValueError(
            "filming needs an environment made with gym.make(..., render_mode='rgb_array'),"
            f" got render_mode={env.render_mode!r}"
        )
    if seed is None:
        seed = int(np.random.SeedSequence().generate_state(1)[0])
    seeds = [seed] if isinstance(seed, int | np.integer) else [*seed]
    with _with_score_keeper(env) as (watched, keeper):
        camera = _Camera(fit_to_model(watched, model), keeper, max_steps, draw)
        tally = play_game(Player(model), camera, keeper, seeds, epsilon)
        camera.shoot()
    return Film(frames=camera.frames, score=tally.score, n_steps=camera.n_steps)


class _Camera(gym.Wrapper[Any, Any, Any, Any]):
    """Stands outside all wrappers and keeps the screen before each step.

    :param keeper: told that the game is over when it is cut off outside of it.
    :param max_steps: agent steps after which it is cut off here.
    """

    def __init__(
        self, env: gym.Env[Any, Any], keeper: ScoreKeeper, max_steps: int, draw: Draw | None
    ) -> None:
        super().__init__(env)
        self.keeper, self.max_steps, self.draw = keeper, max_steps, draw
        self.frames: list[Frame] = []
        self.n_steps = 0
        self._obs: Any = None
        self._action: Any = None

    def reset(self, **kwargs: Any) -> tuple[Any, dict[str, Any]]:
        """Reset: a new game, or the next life of it."""
        self._obs, info = self.env.reset(**kwargs)
        return self._obs, info

    def step(self, action: Any) -> tuple[Any, SupportsFloat, bool, bool, dict[str, Any]]:
        """Keep what the model sees, then step."""
        self._action = action
        self.shoot()
        self._obs, reward, terminated, truncated, info = self.env.step(action)
        self.n_steps += 1
        if self.n_steps == self.max_steps:
            self.keeper.cut_off()
        return self._obs, reward, terminated, truncated, info

    def shoot(self) -> None:
        """Keep the screen as it is now."""
        screen: Any = self.env.render()
        frame = np.array(screen)  # a copy: some environments paint on one canvas
        if self.draw is not None:
            frame = self.draw(frame, self._obs, self._action)
        self.frames.append(frame)


@contextmanager
def _with_score_keeper(env: gym.Env[Any, Any]) -> Iterator[tuple[gym.Env[Any, Any], ScoreKeeper]]:
    """Put a keeper beneath the wrappers of the model for a while.

    :return: the environment to play, and the keeper inside.
    """
    outside: gym.Wrapper[Any, Any, Any, Any] | None = None
    layer = env
    while isinstance(layer, gym.Wrapper):
        # a time limit has two classes: importing RL Zoo puts its own in place of Gymnasium's
        is_time_limit = "_max_episode_steps" in vars(layer)
        if type(layer) not in _PART_OF_THE_GAME and not is_time_limit:
            outside = layer
        layer = layer.env
    if outside is None:
        keeper = ScoreKeeper(env)
        yield keeper, keeper
        return
    game = outside.env
    outside.env = keeper = ScoreKeeper(game)
    try:
        yield env, keeper
    finally:
        outside.env = game
