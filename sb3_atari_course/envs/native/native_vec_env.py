"""SB3 VecEnv on ale-py's C++ vector environment, equivalent to ``wrap_atari``."""

from __future__ import annotations

import inspect
import os
import time
import warnings
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Literal

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray
from stable_baselines3.common.monitor import Monitor, ResultsWriter
from stable_baselines3.common.on_policy_algorithm import OnPolicyAlgorithm
from stable_baselines3.common.vec_env import VecEnv

from sb3_atari_course._common.array_pool import ArrayPool
from sb3_atari_course._common.validation import (
    boolean,
    callers,
    explain_arguments,
    integer_at_least,
    refuse_unknown,
)
from sb3_atari_course.envs.ids import find_spec, is_atari, not_atari
from sb3_atari_course.envs.native.emulators import (
    Batch,
    Batches,
    EpisodeCounter,
    RawStep,
    Step,
    batch_sizes,
    infos_of,
)
from sb3_atari_course.envs.native.options import (
    OPTIONS,
    UNLISTED,
    find_emulators,
    settings_of,
    start_of,
    usable_threads,
)
from sb3_atari_course.wrappers.screen import checked_crop, checked_padding, checked_shape

#: ale-py's seeds are nonnegative int32; RL Zoo's go up to 2**32.
_N_SEEDS = 2**31

_NO_OBJECTS = "the games of a NativeAtariVecEnv are not Python objects"

Indices = Any  # SB3's VecEnvIndices: None, an int or an iterable of ints
Return = tuple[NDArray[np.uint8], NDArray[np.float32], NDArray[np.bool_], list[dict[str, Any]]]


class NativeAtariVecEnv(VecEnv):
    """Vectorized Atari environment on ale-py's C++ backend, for a CnnPolicy of any SB3 algorithm.

    Equivalent to :func:`~sb3_atari_course.envs.wrap_atari` around SB3's Monitor. Without FIRE and
    no-ops, observations, rewards and dones equal those of the wrappers with grayscale frames.
    Returns and lengths in ``info["episode"]`` are those that Monitor records: of full games,
    unclipped, with no-ops and their rewards, without the frames that some emulators play during a
    reset (NameThisGame: 134). Differences:

    1. FIRE is the first agent step of a life; the wrappers play it inside ``reset()``. It is
       written into the caller's action array, which SB3's off-policy algorithms store. An on-policy
       algorithm (PPO, A2C) would store the log-probability of an action that was not executed: set
       ``fire=False``, otherwise a warning is shown when training starts.
    2. The last frame of a game that is over or truncated is up to one step old, because ale-py does
       not render it. It appears in ``terminal_observation`` only, which is not used for
       bootstrapping after a game over.
    3. The maximum over two frames is taken after the conversion to grayscale, as in Gymnasium and
       Dopamine; SB3, RL Zoo and the DQN paper take the maximum of RGB frames.
    4. The number of no-ops is 0 to ``noop_max`` (wrappers: 1 to ``noop_max``). No-ops, and frames
       that the emulator plays during a reset, do not count towards ``max_num_frames_per_episode``.
       A game that ends during its no-ops is not counted.
    5. The same seed gives other games than with the wrappers. ``info["lives"]`` is 0 at a game
       over.

    :param env_id: a Gymnasium id, e.g. ``"BreakoutNoFrameskip-v4"``; its sticky actions, limits and
        frame skip apply unless ``options`` override them.
    :param n_envs: number of environments.
    :param seed: environment i is seeded with ``seed + i`` at the first reset; None for a random
        seed.
    :param crop: (top, bottom, left, right) in pixels, see :class:`.CropGrayResize`; None for the
        whole frame.
    :param shape: (h, w) of a frame in pixels.
    :param noop_max: maximum number of no-ops at the start of a game, in frames (in steps of an id
        that skips frames itself).
    :param frame_skip: frames per agent step; 1 for an id that skips frames itself.
    :param max_pool: return the maximum of the last two frames of a step.
    :param terminal_on_life_loss: end the episode when a life is lost; the game continues.
    :param fire: press FIRE at the start of every life, in games that have it.
    :param clip_reward: clip the reward to its sign; ``info["episode"]`` has the unclipped return.
    :param n_stack: number of stacked frames.
    :param padding: how the stack is filled at the start of an episode: ``"repeat"`` the first frame
        or ``"zero"``.
    :param n_threads: number of cores to use, at most one per environment; None for all.
    :param monitor_dir: folder for the files ``{i}.monitor.csv``; None for no files.
    :param monitor_append: append to existing files, as a resumed run does.
    :param render_mode: None, or ``"rgb_array"``: ``render()`` returns the newest frames, in
        grayscale.
    :param options: ``repeat_action_probability``, ``max_num_frames_per_episode``, ``frameskip``,
        ``full_action_space``, ``max_episode_steps``, as for :func:`gymnasium.make`.
    :raises ValueError: for an unknown id, a value out of range, a crop that exceeds the frame, an
        option that ale-py's vector environment does not support (RGB, modes, difficulties), and for
        skipping frames twice.
    :raises TypeError: for an unknown option, and for a value of the wrong type.
    """

    @explain_arguments
    def __init__(
        self,
        env_id: str,
        n_envs: int = 1,
        *,
        seed: int | None = None,
        crop: Sequence[int] | None = None,
        shape: Sequence[int] = (84, 84),
        noop_max: int = 30,
        frame_skip: int = 4,
        max_pool: bool = True,
        terminal_on_life_loss: bool = True,
        fire: bool = True,
        clip_reward: bool = True,
        n_stack: int = 4,
        padding: Literal["repeat", "zero"] = "repeat",
        n_threads: int | None = None,
        monitor_dir: str | os.PathLike[str] | None = None,
        monitor_append: bool = False,
        render_mode: str | None = None,
        **options: Any,
    ) -> None:
        self._closed = True  # so that close() is safe if the constructor fails
        *names, _ = inspect.signature(NativeAtariVecEnv).parameters
        listed = {name: value for name, value in options.items() if name not in UNLISTED}
        refuse_unknown("NativeAtariVecEnv", listed, [*names, *OPTIONS])
        n_envs = integer_at_least(1, "n_envs", n_envs)
        if render_mode not in (None, "rgb_array"):
            raise ValueError(
                f"render_mode must be None or 'rgb_array', got {render_mode!r}: native environments"
                " have no window (RL Zoo's enjoy: --no-render)"
            )
        emulators = find_emulators(
            env_id, frame_skip=frame_skip, max_pool=max_pool, noop_max=noop_max, options=options
        )
        frame_shape = checked_shape(shape)
        screen, n_first_frames, noop_scores = start_of(
            emulators.arguments["game"], emulators.n_noops
        )
        bounds = None if crop is None else checked_crop(crop, screen)
        self._stacks = FrameStacks(n_envs, n_stack, frame_shape, padding)
        make_batch = partial(
            Batch, arguments=emulators.arguments, shape=frame_shape, crop=bounds, screen=screen
        )
        sizes = batch_sizes(n_envs, usable_threads(n_threads, n_envs), resizes=bounds is not None)
        self._batches = Batches(make_batch, sizes)
        self._counter = EpisodeCounter(
            emulators.frame_skip, n_first_frames=n_first_frames, noop_scores=noop_scores
        )
        fire, self.clip_reward = boolean("fire", fire), boolean("clip_reward", clip_reward)
        self.terminal_on_life_loss = boolean("terminal_on_life_loss", terminal_on_life_loss)
        overwrite = not boolean("monitor_append", monitor_append)
        self._start = time.time()
        self._writers: list[ResultsWriter] = []
        if monitor_dir is not None:
            header: dict[str, float | str] = {"t_start": self._start, "env_id": env_id}
            files = [os.path.join(monitor_dir, str(i)) for i in range(n_envs)]
            self._writers = [
                ResultsWriter(file, header, override_existing=overwrite) for file in files
            ]
        self._frames_counted = emulators.frames_counted
        self._meanings = self._batches.meanings
        self.fire_action = (
            self._meanings.index("FIRE") if fire and "FIRE" in self._meanings else None
        )
        self._is_checked = self.fire_action is None  # for an on-policy algorithm
        self._attributes = {  # for get_attr
            "render_mode": render_mode,
            "n_stack": n_stack,
            "spec": find_spec(env_id),
            "metadata": {"render_fps": max(1, 60 // emulators.frame_skip)},
        }
        observation_space = spaces.Box(0, 255, self._stacks.shape[1:], np.uint8)
        super().__init__(n_envs, observation_space, spaces.Discrete(len(self._meanings)))
        self._closed = False
        self._is_ready = self._is_stepping = False  # both: an interrupted step needs a reset()
        if seed is None:  # SB3 would sample it from numpy's global generator
            seed = int(np.random.default_rng().integers(_N_SEEDS))
        self.seed(integer_at_least(0, "seed", seed))

    def reset(self) -> NDArray[np.uint8]:
        """Start new games; the result of a step that is still running is discarded.

        Options of ``set_options`` have no effect; a warning is shown if there are any.

        :return: observations (n_envs, n_stack, h, w), uint8.
        :raises ValueError: if the environment is closed.
        """
        self._check_open()
        self._warn_on_policy()
        none = -1  # ale-py: continue the random sequence
        seeds = [none if seed is None else int(seed) % _N_SEEDS for seed in self._seeds]
        self._reset_seeds()
        if any(self._options):
            warnings.warn(
                f"NativeAtariVecEnv ignores reset options, got {self._options}: pass settings of"
                " the games to its constructor",
                stacklevel=2,
            )
        self._reset_options()
        self._is_ready = self._is_stepping = False
        self._batches.submit("reset", np.array(seeds, np.int32), self._stacks.new_array())
        stacks, raw = self._batches.collect()
        self._counter.reset(raw)
        self._life_starts = np.ones(self.num_envs, bool)
        self._stacks.pad(stacks, self._life_starts)
        self._stacks.update(stacks, self._life_starts)
        self.reset_infos = infos_of(raw)
        self._is_ready = True
        return stacks

    def step_async(self, actions: NDArray[Any]) -> None:
        """Start a step of all emulators, without waiting for it.

        :param actions: (n_envs,) integers; where a life starts, FIRE is written into the array.
        :raises ValueError: before the first reset, if another step is still running, if the shape
            is wrong, if an action is outside the action space, if the environment is closed.
        :raises TypeError: if the actions are not integers.
        """
        self._check_open()
        if self._is_stepping:
            raise ValueError("step_async() was called twice: call step_wait() (or reset()) first")
        if not self._is_ready:
            raise ValueError("no game is running: call reset() before step_async()")
        n_actions = len(self._meanings)
        actions = checked_actions(actions, n_envs=self.num_envs, n_actions=n_actions)
        if self.fire_action is not None and self._life_starts.any():
            # into the caller's array, which SB3's off-policy algorithms store after the step
            actions = actions if actions.flags.writeable else actions.copy()
            actions[self._life_starts] = self.fire_action
        self._is_ready = False
        stacks = self._stacks.new_array()
        self._batches.submit("step", actions.astype(np.int32), stacks)
        self._stacks.shift(stacks)  # while the emulators play
        self._is_stepping = True

    def step_wait(self) -> Return:
        """Wait for the step started by :meth:`step_async`.

        :return: observations (n_envs, n_stack, h, w) uint8, rewards (n_envs,) float32, dones
            (n_envs,) bool, infos. At the end of an episode the observation is the first one of the
            next episode, and ``info["terminal_observation"]`` the last one.
        :raises ValueError: if no step was started, if the environment is closed.
        """
        self._check_open()
        if not self._is_stepping:
            raise ValueError("no step is running: call step_async() before step_wait()")
        stacks, raw = self._batches.collect()
        self._is_stepping = False
        step = self._counter.step(raw)
        dones = step.over | (step.life_lost & self.terminal_on_life_loss)
        infos = self._infos(step, dones, stacks, raw)
        self._stacks.pad(stacks, dones)
        self._stacks.update(stacks, dones)
        self._life_starts = step.over | step.life_lost
        rewards = np.sign(raw.rewards) if self.clip_reward else raw.rewards
        self._is_ready = True
        return stacks, rewards.astype(np.float32), dones, infos

    def close(self) -> None:
        """Stop the emulator threads and close the Monitor files; may be called repeatedly."""
        if not self._closed:
            self._closed = True
            self._batches.close()
            for writer in self._writers:
                writer.close()

    def get_images(self) -> Sequence[NDArray[np.uint8] | None]:
        """Return the newest frame of each game as a gray RGB image, (h, w, 3) uint8."""
        return list(np.repeat(self._stacks.newest()[..., None], 3, axis=-1))

    def get_attr(self, attr_name: str, indices: Indices = None) -> list[Any]:
        """Return ``render_mode``, ``n_stack``, ``spec`` or ``metadata`` of each game.

        :raises AttributeError: for any other name.
        """
        if attr_name not in self._attributes:
            raise AttributeError(
                f"{_NO_OBJECTS}: {attr_name!r} must be one of {[*self._attributes]}"
            )
        return [self._attributes[attr_name] for _ in self._get_indices(indices)]

    def set_attr(self, attr_name: str, value: Any, indices: Indices = None) -> None:
        """Not supported, because the games are not Python objects.

        :raises AttributeError: always.
        """
        raise AttributeError(f"{_NO_OBJECTS}: pass {attr_name}={value!r} to the constructor")

    def env_method(
        self, method_name: str, *method_args: Any, indices: Indices = None, **method_kwargs: Any
    ) -> list[Any]:
        """Return ``get_action_meanings()`` of each game, the only supported method.

        :raises AttributeError: for any other name.
        """
        if method_name != "get_action_meanings":
            raise AttributeError(
                f"{_NO_OBJECTS}: {method_name!r} is not supported, only get_action_meanings"
            )
        return [list(self._meanings) for _ in self._get_indices(indices)]

    def env_is_wrapped(
        self, wrapper_class: type[gym.Wrapper[Any, Any, Any, Any]], indices: Indices = None
    ) -> list[bool]:
        """Return True for Monitor, since ``info["episode"]`` has what it records."""
        is_monitor = issubclass(Monitor, wrapper_class)
        return [is_monitor for _ in self._get_indices(indices)]

    def _warn_on_policy(self) -> None:
        """Warn if an on-policy algorithm trains on games that press FIRE where a life starts.

        Checked at each reset until such an algorithm is found, because training starts with a
        reset. An algorithm that only evaluates on this environment trains on another one.
        """
        if self._is_checked:
            return
        for model in callers(OnPolicyAlgorithm):
            if model.env is not None and model.env.unwrapped is self:
                self._is_checked = True
                warnings.warn(
                    f"{type(model).__name__} stores the log-probability of its action, but at the"
                    " start of a life NativeAtariVecEnv executes FIRE instead: pass fire=False"
                    " (make_atari_env: wrapper_kwargs=dict(fire_on_reset=False))",
                    stacklevel=2,
                )
                return

    def _check_open(self) -> None:
        if self._closed:
            raise ValueError("this NativeAtariVecEnv is closed: make a new one")

    def _infos(
        self, step: Step, dones: NDArray[np.bool_], stacks: NDArray[np.uint8], raw: RawStep
    ) -> list[dict[str, Any]]:
        """Return the infos of a step; ``stacks`` still holds the frames of the old episodes."""
        infos, next_infos = infos_of(step), infos_of(raw) if dones.any() else []
        for i, truncated in enumerate(step.truncated.tolist()):
            infos[i]["TimeLimit.truncated"] = truncated
        for i in np.flatnonzero(dones).tolist():
            last = infos[i]["terminal_observation"] = stacks[i].copy()
            self.reset_infos[i] = next_infos[i]
            if step.over[i]:
                last[-1] = raw.last_frames[i]
                length = -(-int(step.lengths[i]) // self._frames_counted)  # rounded up
                seconds = round(time.time() - self._start, 6)
                infos[i]["episode"] = {"r": float(step.scores[i]), "l": length, "t": seconds}
                if self._writers:
                    self._writers[i].write_row(infos[i]["episode"])
        return infos


class FrameStacks:
    """Frame stacks of all games, as :class:`.FrameStack` makes them for one.

    Returned arrays are not reused while they are referenced, and changing them has no effect on
    later stacks.

    :param n_envs: number of games.
    :param n_stack: number of stacked frames, at least 1.
    :param shape: (h, w) of a frame.
    :param padding: how the stack is filled at the start of an episode: ``"repeat"`` or ``"zero"``.
    :raises ValueError: for another ``padding`` or an ``n_stack`` below 1.
    """

    def __init__(
        self, n_envs: int, n_stack: int, shape: tuple[int, int], padding: Literal["repeat", "zero"]
    ) -> None:
        self.padding = checked_padding(padding)
        self.shape = (n_envs, integer_at_least(1, "n_stack", n_stack), *shape)
        self._current = np.zeros(self.shape, np.uint8)
        self._pool = ArrayPool()

    def new_array(self) -> NDArray[np.uint8]:
        """Return an uninitialized array for the next stacks, (n_envs, n_stack, h, w) uint8."""
        return self._pool.array(self.shape)

    def shift(self, stacks: NDArray[np.uint8]) -> None:
        """Fill in all but the newest frames, which other threads may be writing meanwhile.

        :param stacks: (n_envs, n_stack, h, w), changed in place in ``[:, :-1]``.
        """
        stacks[:, :-1] = self._current[:, 1:]
        self._current[:, :-1] = stacks[:, :-1]

    def pad(self, stacks: NDArray[np.uint8], starts: NDArray[np.bool_]) -> None:
        """Fill the stacks of starting episodes from their newest frame.

        :param stacks: (n_envs, n_stack, h, w), changed in place.
        :param starts: (n_envs,), where an episode starts.
        """
        if starts.any():
            first = stacks[starts, -1:]
            stacks[starts, :-1] = first if self.padding == "repeat" else 0

    def update(self, stacks: NDArray[np.uint8], starts: NDArray[np.bool_]) -> None:
        """Remember the stacks for the next step.

        :param stacks: (n_envs, n_stack, h, w), shifted and padded.
        :param starts: (n_envs,), where an episode starts.
        """
        self._current[:, -1] = stacks[:, -1]
        if starts.any():
            self._current[starts] = stacks[starts]

    def newest(self) -> NDArray[np.uint8]:
        """Return a copy of the newest frames, (n_envs, h, w)."""
        return self._current[:, -1].copy()


def native_from_wrappers(
    env_fns: list[Callable[[], gym.Env[Any, Any]]], **kwargs: Any
) -> NativeAtariVecEnv:
    """Make a native environment that is equivalent to wrapped games, as a ``vec_env_cls`` of SB3.

    The first environment is made, inspected and closed; the others are assumed to be equal.

    :param env_fns: functions that make one game each, with all its wrappers.
    :param kwargs: further arguments of :class:`NativeAtariVecEnv`, e.g. ``n_threads``.
    :return: the native environment.
    :raises ValueError: for an environment that is not an Atari game, for a wrapper that is not
        supported, and for wrappers in another order than that of ``wrap_atari``.
    """
    env = env_fns[0]()
    try:
        spec = env.unwrapped.spec
        if spec is None or not is_atari(spec.id):
            raise ValueError(f"{not_atari(spec.id if spec else str(env))} (--vec-env dummy)")
        settings = {**spec.kwargs, **settings_of(env), **kwargs}
    finally:
        env.close()
    return NativeAtariVecEnv(spec.id, len(env_fns), **settings)


def checked_actions(actions: Any, *, n_envs: int, n_actions: int) -> NDArray[Any]:
    """Return the actions as an array, without a copy if they are one.

    An invalid action must not reach ale-py, where it would block the emulators forever.

    :param actions: (n_envs,) integers from 0 to ``n_actions - 1``.
    :raises TypeError: if the actions are not integers.
    :raises ValueError: if the shape is wrong, or an action is outside the action space.
    """
    array = np.asarray(actions)
    if not np.issubdtype(array.dtype, np.integer):
        raise TypeError(f"actions must be integers, got {array.dtype}: {actions!r}")
    if array.shape != (n_envs,):
        raise ValueError(
            f"actions must have shape ({n_envs},), one for each game, got {array.shape}"
        )
    outside = (array < 0) | (array >= n_actions)
    if outside.any():
        i = int(np.flatnonzero(outside)[0])
        raise ValueError(
            f"action {array[i]} of game {i} is outside the action space Discrete({n_actions}):"
            f" 0 to {n_actions - 1}"
        )
    return array
