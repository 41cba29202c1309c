"""Videos of games: recording of frames, and MP4 files."""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
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

#: Color space, stored in the file: players would guess it otherwise, and differ.
_COLORS = "setparams=colorspace=bt709:color_primaries=bt709:color_trc=bt709:range=tv"

#: crf 18 is nearly lossless to the eye; "animation" suits flat colors: smaller and more exact.
#: faststart: a browser starts playing before it has the whole file.
_H264 = ["-crf", "18", "-tune", "animation", "-movflags", "+faststart", "-f", "mp4"]


def _import_ffmpeg() -> Any:
    try:
        import imageio_ffmpeg  # type: ignore[import-untyped]
    except ImportError:
        raise ImportError(
            'writing videos needs the extra "video": pip install "sb3_atari_course[video]"'
        ) from None
    return imageio_ffmpeg


def _filters(shape: tuple[int, ...], scale: int) -> str:
    """Return ffmpeg's filters: enlarge without blur, convert the colors, pad to even sizes."""
    height, width = shape[0] * scale, shape[1] * scale
    flags = "neighbor" if scale > 1 else "bicubic"  # bicubic: chroma has half the resolution
    chain = [
        f"scale={width}:{height}:flags={flags}+accurate_rnd:out_range=tv:out_color_matrix=bt709",
        _COLORS,
    ]
    if height % 2 or width % 2:  # yuv420p has one chroma sample for 2 by 2 pixels
        chain = [*chain, f"pad={width + width % 2}:{height + height % 2}"]
    return ",".join(chain)


#: Small frames are enlarged to at least this height, in pixels.
LEAST_HEIGHT = 400


def write_video(
    path: str | Path,
    frames: Iterable[NDArray[np.uint8]],
    *,
    fps: float = 30,
    scale: int | None = None,
) -> Path:
    """Write frames to an MP4 file (H.264), one at a time, so that they may come from a generator.

    The file appears once it is complete; an error or Ctrl-C leaves no file, and an existing file
    unchanged.

    :param path: the file, with the suffix ``.mp4``; its folder is created if missing.
    :param frames: (H, W, 3) RGB or (H, W) grayscale, uint8, all of one shape.
    :param fps: frames per second of the video. An Atari game recorded once an agent step (of 4
        emulator frames) plays in real time at 15, twice as fast at 30.
    :param scale: factor by which frames are enlarged, without interpolation; None for the smallest
        integer that makes the video at least 400 pixels high.
    :return: the path.
    :raises TypeError: for a ``scale`` that is not an integer, an ``fps`` that is not a number.
    :raises ValueError: if ``fps`` or ``scale`` is not positive, ``path`` has another suffix, there
        are no frames, or one has another shape or dtype.
    :raises ImportError: without the extra ``video``.
    :raises OSError: if the file cannot be written, for example because the disk is full.
    """
    path = Path(path)
    if path.suffix.lower() != ".mp4":
        raise ValueError(f"path must end in .mp4, got {path}")
    if finite_number("fps", fps) <= 0:
        raise ValueError(f"fps must be positive, got {fps}")
    if scale is not None:
        integer_at_least(1, "scale", scale)
    _import_ffmpeg()  # fail before the first frame
    checked = _checked(frames)
    first = next(checked, None)
    if first is None:
        raise ValueError(f"no frames were given for {path}")
    unfinished = path.with_name(f".{path.stem}.{secrets.token_hex(4)}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.is_dir():
            raise IsADirectoryError(0, "it is a folder")
        unfinished.touch(exist_ok=False)
    except OSError as error:
        raise OSError(f"cannot write {path}: {error.strerror}; choose another path") from None
    try:
        if not _encode(chain([first], checked), unfinished, first.shape, fps=fps, scale=scale):
            raise OSError(
                f"writing {path} failed, some frames are missing: is the disk full? Free some"
                " space, or choose another path"
            )
        os.replace(unfinished, path)
    finally:
        unfinished.unlink(missing_ok=True)
    return path


def _encode(
    frames: Iterable[Any],
    unfinished: Path,
    shape: tuple[int, ...],
    *,
    fps: float,
    scale: int | None,
) -> bool:
    """Encode frames with ffmpeg; return whether all of them are in the file.

    They are counted because imageio-ffmpeg does not report a failure of ffmpeg.
    """
    ffmpeg = _import_ffmpeg()
    writer = ffmpeg.write_frames(
        str(unfinished),
        (shape[1], shape[0]),
        pix_fmt_in="gray" if len(shape) == 2 else "rgb24",
        fps=float(fps),
        codec="libx264",
        quality=None,  # see _H264
        macro_block_size=1,  # see _filters
        ffmpeg_log_level="quiet",
        output_params=["-vf", _filters(shape, scale or -(-LEAST_HEIGHT // shape[0])), *_H264],
    )
    writer.send(None)
    n_frames = 0
    with closing(writer):
        for frame in frames:
            n_frames += 1
            try:
                writer.send(frame)
            except OSError:  # ffmpeg has exited
                break
    try:
        return bool(ffmpeg.count_frames_and_secs(str(unfinished))[0] == n_frames)
    except RuntimeError:  # not a video file
        return False


def _checked(frames: Iterable[Any]) -> Iterator[NDArray[np.uint8]]:
    """Yield frames as contiguous arrays; reject invalid ones, and shapes other than the first."""
    shape: tuple[int, ...] | None = None
    for i, frame in enumerate(frames):
        if frame is None:
            raise ValueError("got None for a frame: make the env with render_mode='rgb_array'")
        pixels = np.asarray(frame)
        is_image = pixels.ndim == 2 or (pixels.ndim == 3 and pixels.shape[2] == 3)
        if not is_image or 0 in pixels.shape:
            raise ValueError(f"frames must have the shape (H, W, 3) or (H, W), got {pixels.shape}")
        if pixels.dtype != np.uint8:
            raise ValueError(
                f"frames must be uint8, 0 to 255, got {pixels.dtype}:"
                " (255 * frame).astype(np.uint8) if they are 0 to 1"
            )
        shape = shape or pixels.shape
        if pixels.shape != shape:
            raise ValueError(
                f"all frames must have the same shape: the first has {shape}, frame {i} has"
                f" {pixels.shape}"
            )
        yield np.ascontiguousarray(pixels)


Frame = NDArray[np.uint8]
Draw = Callable[[Frame, Any, Any], Frame]

#: Wrappers by ``gym.make`` and SB3 directly around a game: part of it, not preprocessing.
_PART_OF_THE_GAME = (OrderEnforcing, PassiveEnvChecker, Monitor)


@dataclass(frozen=True)
class Recording:
    """Recorded game: frames, score and length.

    :param frames: (H, W, 3) uint8 each: rendered before each agent step, and the last one.
    :param score: unclipped score of the game, even if wrappers clip rewards.
    :param n_steps: length of the game in agent steps.
    """

    frames: list[Frame]
    score: float
    n_steps: int


@explain_arguments
def record_game(
    model: Model,
    env: gym.Env[Any, Any],
    *,
    seed: int | Sequence[int] | None = None,
    epsilon: float = 0.0,
    max_steps: int = 5_000,
    draw: Draw | None = None,
) -> Recording:
    """Play one full game with a model, through all lives, and record its frames.

    It is played as by :func:`.evaluate_games`: with ``seed=(s, i)`` it is game i of
    ``evaluate_games(seed=s)``, if wrappers, no-op starts, ``obs_type``, sticky actions and
    ``epsilon`` are the same, and the game is over before ``max_steps``. Frames are kept in RAM:
    0.1 MB a step for an Atari game.

    :param model: an SB3 model, or anything with its ``predict``.
    :param env: a single environment with the model's wrappers, made with
        ``render_mode="rgb_array"``; it is left open, in the state in which the game ended.
        Observations are stacked if the model needs it.
    :param seed: of the start and the random actions; None for a random one.
    :param epsilon: probability of a random action, 0 to 1.
    :param max_steps: longest game, in agent steps.
    :param draw: called with each frame, its observation and the action chosen for it (for the last
        frame: the action before); returns the frame to keep.
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
            "recording needs an environment made with gym.make(..., render_mode='rgb_array'),"
            f" got render_mode={env.render_mode!r}"
        )
    if seed is None:
        seed = int(np.random.SeedSequence().generate_state(1)[0])
    seeds = [seed] if isinstance(seed, int | np.integer) else [*seed]
    with _with_score_keeper(env) as (watched, keeper):
        camera = _Camera(fit_to_model(watched, model), keeper, max_steps, draw)
        statistics = play_game(Player(model), camera, keeper, seeds, epsilon)
        camera.record()
    return Recording(frames=camera.frames, score=statistics.score, n_steps=camera.n_steps)


class _Camera(gym.Wrapper[Any, Any, Any, Any]):
    """Outermost wrapper that records a frame before each step.

    :param keeper: score keeper, notified when the game is cut off here.
    :param max_steps: agent steps after which the game is cut off.
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
        """Start a new game, or its next life."""
        self._obs, info = self.env.reset(**kwargs)
        return self._obs, info

    def step(self, action: Any) -> tuple[Any, SupportsFloat, bool, bool, dict[str, Any]]:
        """Record a frame, then step."""
        self._action = action
        self.record()
        self._obs, reward, terminated, truncated, info = self.env.step(action)
        self.n_steps += 1
        if self.n_steps == self.max_steps:
            self.keeper.cut_off()
        return self._obs, reward, terminated, truncated, info

    def record(self) -> None:
        """Record the current frame."""
        rendered: Any = self.env.render()
        frame = np.array(rendered)  # a copy: some environments reuse one array
        if self.draw is not None:
            frame = self.draw(frame, self._obs, self._action)
        self.frames.append(frame)


@contextmanager
def _with_score_keeper(env: gym.Env[Any, Any]) -> Iterator[tuple[gym.Env[Any, Any], ScoreKeeper]]:
    """Insert a score keeper below the wrappers of the model, temporarily.

    :return: the environment to play, and the keeper inside.
    """
    outside: gym.Wrapper[Any, Any, Any, Any] | None = None
    layer = env
    while isinstance(layer, gym.Wrapper):
        # there are two classes of it: importing RL Zoo replaces Gymnasium's
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
