"""What SB3 sees of ale-py's vector environment: a VecEnv that does what ``wrap_atari`` does."""

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
    Games,
    Played,
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

#: ale-py's seeds are int32 from 0; RL Zoo's reach 2**32.
_N_SEEDS = 2**31

_NO_OBJECTS = "the games of a NativeAtariVecEnv are no Python objects"

Indices = Any  # SB3's VecEnvIndices: None, an int or some of them
Return = tuple[NDArray[np.uint8], NDArray[np.float32], NDArray[np.bool_], list[dict[str, Any]]]


class NativeAtariVecEnv(VecEnv):
    """Plays many Atari games at once in ale-py's C++ threads, ready for a CnnPolicy of SB3.

    It does what :func:`~sb3_atari_course.envs.wrap_atari` around SB3's Monitor does. Without FIRE
    and no-ops, observations, rewards and dones equal those of its grey screens. Scores and lengths
    in ``info["episode"]`` are those that Monitor counts: of whole games, unclipped, with no-ops and
    their rewards, without the frames that the emulators of some games play during a reset
    (NameThisGame: 134). What differs:

    1. FIRE is the first agent step of a life; the wrappers play it inside ``reset()``. It is
       written into the caller's array of actions, which SB3's off-policy algorithms store. An
       on-policy algorithm (PPO, A2C) would keep the probability of the action that was not
       executed: give it ``fire=False``; else a warning is shown when its training begins.
    2. The last picture of a game that is over or cut off is up to a step old: ale-py does not draw
       it. It is the ``terminal_observation`` only, which no learner looks at after a game over.
    3. The maximum over two frames is one of greys, as in Gymnasium and Dopamine; SB3, RL Zoo and
       the DQN paper take it of colours.
    4. No-ops: 0 to ``noop_max`` of them (the wrappers: 1 to ``noop_max``). They are no part of
       ``max_num_frames_per_episode``, nor are the frames that the emulator plays during a reset.
       If they end a game, its frames are not counted.
    5. The same seed gives other games than the wrappers'. ``info["lives"]`` is 0 at a game over.

    :param env_id: a Gymnasium id, e.g. ``"BreakoutNoFrameskip-v4"``; sticky actions, limits and
        frames skipped are its own, unless options say otherwise.
    :param n_envs: number of games.
    :param seed: game i is seeded with ``seed + i`` at the first reset; None for a random seed.
    :param crop: (top, bottom, left, right) in pixels, see :class:`.CropGrayResize`.
    :param shape: (h, w) in pixels of one picture.
    :param noop_max: most no-ops at the start of a game, in frames.
    :param frame_skip: frames per agent step; 1 for an id that skips by itself.
    :param max_pool: show the maximum of the last two frames of a step.
    :param terminal_on_life_loss: report a lost life as the end of an episode; the game goes on.
    :param fire: press FIRE at the start of every life, in games that know it.
    :param clip_reward: pay the sign of the reward; ``info["episode"]`` has the true score, as SB3's
        Monitor counts it, see above.
    :param n_stack: pictures in one observation.
    :param padding: what stands for the past at the start: ``"repeat"`` (the first picture) or
        ``"zero"``.
    :param n_threads: cores to play on; None for all of them, at most one a game.
    :param monitor_dir: where ``{i}.monitor.csv`` are written; None for no files.
    :param monitor_append: go on with the files that are there, as a resumed training does.
    :param render_mode: None or ``"rgb_array"``: ``render()`` shows the newest pictures, in grey.
    :param options: ``repeat_action_probability``, ``max_num_frames_per_episode``, ``frameskip``,
        ``full_action_space``, ``max_episode_steps``, as for :func:`gymnasium.make`.
    :raises ValueError: for an unknown game, a value out of range, a crop that does not fit, what
        the native emulators cannot do (colours, modes, difficulties), skipping frames twice.
    :raises TypeError: for an unknown option, and for a flag that is not a bool.
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
        self._closed = True  # until there is something to close
        *names, _ = inspect.signature(NativeAtariVecEnv).parameters
        listed = {name: value for name, value in options.items() if name not in UNLISTED}
        refuse_unknown("NativeAtariVecEnv", listed, [*names, *OPTIONS])
        n_envs = integer_at_least(1, "n_envs", n_envs)
        if render_mode not in (None, "rgb_array"):
            raise ValueError(
                f"render_mode must be None or 'rgb_array', got {render_mode!r}: there is no window"
                " (RL Zoo's enjoy: --no-render)"
            )
        emulators = find_emulators(
            env_id, frame_skip=frame_skip, max_pool=max_pool, noop_max=noop_max, options=options
        )
        picture = checked_shape(shape)
        screen, n_first_frames, noop_scores = start_of(
            emulators.arguments["game"], emulators.n_noops
        )
        cut = None if crop is None else checked_crop(crop, screen)
        self._stacks = Stacks(n_envs, n_stack, picture, padding)
        make_batch = partial(
            Batch, arguments=emulators.arguments, shape=picture, crop=cut, screen=screen
        )
        sizes = batch_sizes(n_envs, usable_threads(n_threads, n_envs), draws=cut is not None)
        self._batches = Batches(make_batch, sizes)
        self._games = Games(
            emulators.n_held, n_first_frames=n_first_frames, noop_scores=noop_scores
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
        self._n_counted = emulators.n_counted
        self._meanings = self._batches.meanings
        self.fire_action = (
            self._meanings.index("FIRE") if fire and "FIRE" in self._meanings else None
        )
        self._is_checked = self.fire_action is None  # if an on-policy algorithm trains on it
        self._attributes = {  # for get_attr
            "render_mode": render_mode,
            "n_stack": n_stack,
            "spec": find_spec(env_id),
            "metadata": {"render_fps": max(1, 60 // emulators.n_held)},
        }
        observation_space = spaces.Box(0, 255, self._stacks.shape[1:], np.uint8)
        super().__init__(n_envs, observation_space, spaces.Discrete(len(self._meanings)))
        self._closed = False
        self._is_ready = self._is_stepping = False  # both: an interrupted step needs a reset()
        if seed is None:  # SB3 would take it from numpy's global generator
            seed = int(np.random.default_rng().integers(_N_SEEDS))
        self.seed(integer_at_least(0, "seed", seed))

    def reset(self) -> NDArray[np.uint8]:
        """Begin new games; a step that nobody waited for is forgotten.

        Options of ``set_options`` have no effect, of which a warning informs.

        :return: (n_envs, n_stack, h, w) uint8.
        """
        self._check_open()
        self._warn_on_policy()
        none = -1  # continues with the random numbers of before
        seeds = [none if seed is None else int(seed) % _N_SEEDS for seed in self._seeds]
        self._reset_seeds()
        if any(self._options):
            warnings.warn(
                f"native games take no options at a reset, got {self._options}: settings of the"
                " games are arguments of NativeAtariVecEnv",
                stacklevel=2,
            )
        self._reset_options()
        self._is_ready = self._is_stepping = False
        self._batches.order("reset", np.array(seeds, np.int32), self._stacks.room())
        stacks, played = self._batches.collect()
        self._games.begin(played)
        self._life_begins = np.ones(self.num_envs, bool)
        self._stacks.begin(stacks, self._life_begins)
        self._stacks.keep(stacks, self._life_begins)
        self.reset_infos = infos_of(played)
        self._is_ready = True
        return stacks

    def step_async(self, actions: NDArray[Any]) -> None:
        """Send a step to the emulators, which play it while the caller goes on.

        :param actions: (n_envs,) integers; where a life begins, FIRE is written in.
        :raises ValueError: if there is no game to step, if a step is on its way already, if an
            action is outside the action space.
        """
        self._check_open()
        if self._is_stepping:
            raise ValueError("step_async() was called twice: call step_wait() (or reset()) first")
        if not self._is_ready:
            raise ValueError("there are no games to step: call reset() before step_async()")
        n_actions = len(self._meanings)
        actions = checked_actions(actions, n_envs=self.num_envs, n_actions=n_actions)
        if self.fire_action is not None and self._life_begins.any():
            # into the caller's array, which SB3's off-policy algorithms store after the step
            actions = actions if actions.flags.writeable else actions.copy()
            actions[self._life_begins] = self.fire_action
        self._is_ready = False
        stacks = self._stacks.room()
        self._batches.order("step", actions.astype(np.int32), stacks)
        self._stacks.move_on(stacks)  # while the emulators play
        self._is_stepping = True

    def step_wait(self) -> Return:
        """Wait for the step that was sent.

        :return: observations (n_envs, n_stack, h, w) uint8, rewards (n_envs,) float32, dones
            (n_envs,) bool, infos. Where an episode is over the observation is the next one's
            first, and ``info["terminal_observation"]`` its own last one.
        :raises ValueError: if none was sent.
        """
        self._check_open()
        if not self._is_stepping:
            raise ValueError("no step is on its way: call step_async() before step_wait()")
        stacks, played = self._batches.collect()
        self._is_stepping = False
        step = self._games.step(played)
        dones = step.over | (step.life_lost & self.terminal_on_life_loss)
        infos = self._infos(step, dones, stacks, played)
        self._stacks.begin(stacks, dones)
        self._stacks.keep(stacks, dones)
        self._life_begins = step.over | step.life_lost
        rewards = np.sign(played.rewards) if self.clip_reward else played.rewards
        self._is_ready = True
        return stacks, rewards.astype(np.float32), dones, infos

    def close(self) -> None:
        """End the emulators' threads and close the files; again is allowed."""
        if not self._closed:
            self._closed = True
            self._batches.close()
            for writer in self._writers:
                writer.close()

    def get_images(self) -> Sequence[NDArray[np.uint8] | None]:
        """Return the newest picture of each game, (h, w, 3) uint8, grey."""
        return list(np.repeat(self._stacks.newest()[..., None], 3, axis=-1))

    def get_attr(self, attr_name: str, indices: Indices = None) -> list[Any]:
        """Return ``render_mode``, ``n_stack``, ``spec`` or ``metadata`` of each game."""
        if attr_name not in self._attributes:
            raise AttributeError(f"{_NO_OBJECTS}: {attr_name!r} is none of {[*self._attributes]}")
        return [self._attributes[attr_name] for _ in self._get_indices(indices)]

    def set_attr(self, attr_name: str, value: Any, indices: Indices = None) -> None:
        """Refuse: a game is no Python object."""
        raise AttributeError(f"{_NO_OBJECTS}: {attr_name}={value!r} is for the constructor")

    def env_method(
        self, method_name: str, *method_args: Any, indices: Indices = None, **method_kwargs: Any
    ) -> list[Any]:
        """Return ``get_action_meanings()`` of each game; there is no other method."""
        if method_name != "get_action_meanings":
            raise AttributeError(f"{_NO_OBJECTS}: {method_name!r} is not get_action_meanings")
        return [list(self._meanings) for _ in self._get_indices(indices)]

    def env_is_wrapped(
        self, wrapper_class: type[gym.Wrapper[Any, Any, Any, Any]], indices: Indices = None
    ) -> list[bool]:
        """Tell that Monitor is there: ``info["episode"]`` has what it would say."""
        is_there = issubclass(Monitor, wrapper_class)
        return [is_there for _ in self._get_indices(indices)]

    def _warn_on_policy(self) -> None:
        """Warn if an on-policy algorithm trains on games that press FIRE where a life begins.

        Looked for at resets, with which a training begins, until one is found. An evaluation
        inside of a training has another environment.
        """
        if self._is_checked:
            return
        for model in callers(OnPolicyAlgorithm):
            if model.env is not None and model.env.unwrapped is self:
                self._is_checked = True
                warnings.warn(
                    f"{type(model).__name__} keeps the probability of the action that it chose, but"
                    " where a life begins native games play FIRE instead: pass fire=False"
                    " (make_atari_env: wrapper_kwargs=dict(fire_on_reset=False))",
                    stacklevel=2,
                )
                return

    def _check_open(self) -> None:
        if self._closed:
            raise ValueError("this NativeAtariVecEnv is closed: make a new one")

    def _infos(
        self, step: Step, dones: NDArray[np.bool_], stacks: NDArray[np.uint8], played: Played
    ) -> list[dict[str, Any]]:
        """Return the infos of a step, before the next episodes begin in ``stacks``."""
        infos, next_infos = infos_of(step), infos_of(played) if dones.any() else []
        for i, truncated in enumerate(step.truncated.tolist()):
            infos[i]["TimeLimit.truncated"] = truncated
        for i in np.flatnonzero(dones).tolist():
            last = infos[i]["terminal_observation"] = stacks[i].copy()
            self.reset_infos[i] = next_infos[i]
            if step.over[i]:
                last[-1] = played.last_frames[i]
                length = -(-int(step.lengths[i]) // self._n_counted)  # rounded up
                seconds = round(time.time() - self._start, 6)
                infos[i]["episode"] = {"r": float(step.scores[i]), "l": length, "t": seconds}
                if self._writers:
                    self._writers[i].write_row(infos[i]["episode"])
        return infos


class Stacks:
    """Stacks the pictures of all games at once, as :class:`.FrameStack` does those of one.

    Arrays that were handed out are never written to again while anyone holds them, and nothing
    that is written into them comes back.

    :param n_envs: number of games.
    :param n_stack: pictures in one observation, at least 1.
    :param shape: (h, w) of a picture.
    :param padding: what stands for the past at the start: ``"repeat"`` or ``"zero"``.
    :raises ValueError: for another ``padding`` or an ``n_stack`` below 1.
    """

    def __init__(
        self, n_envs: int, n_stack: int, shape: tuple[int, int], padding: Literal["repeat", "zero"]
    ) -> None:
        self.padding = checked_padding(padding)
        self.shape = (n_envs, integer_at_least(1, "n_stack", n_stack), *shape)
        self._now = np.zeros(self.shape, np.uint8)
        self._pool = ArrayPool()

    def room(self) -> NDArray[np.uint8]:
        """Return room for the next stacks, (n_envs, n_stack, h, w) uint8, with anything in it."""
        return self._pool.array(self.shape)

    def move_on(self, stacks: NDArray[np.uint8]) -> None:
        """Fill in all but the newest pictures, which others may be drawing at the same time.

        :param stacks: (n_envs, n_stack, h, w), changed in place in ``[:, :-1]``.
        """
        stacks[:, :-1] = self._now[:, 1:]
        self._now[:, :-1] = stacks[:, :-1]

    def begin(self, stacks: NDArray[np.uint8], games: NDArray[np.bool_]) -> None:
        """Let the newest picture of some games be their first one.

        :param stacks: (n_envs, n_stack, h, w), changed in place.
        :param games: (n_envs,) which ones.
        """
        if games.any():
            first = stacks[games, -1:]
            stacks[games, :-1] = first if self.padding == "repeat" else 0

    def keep(self, stacks: NDArray[np.uint8], begun: NDArray[np.bool_]) -> None:
        """Remember these stacks: the next ones follow them.

        :param stacks: (n_envs, n_stack, h, w), moved on.
        :param begun: (n_envs,) games that began anew.
        """
        self._now[:, -1] = stacks[:, -1]
        if begun.any():
            self._now[begun] = stacks[begun]

    def newest(self) -> NDArray[np.uint8]:
        """Return a copy of the newest pictures, (n_envs, h, w)."""
        return self._now[:, -1].copy()


def native_from_wrappers(
    env_fns: list[Callable[[], gym.Env[Any, Any]]], **kwargs: Any
) -> NativeAtariVecEnv:
    """Make a native environment of what SB3's ``make_vec_env`` would make others of.

    The first environment is made, read and closed; the others are taken to be like it.

    :param env_fns: one function a game, which makes it with all its wrappers.
    :param kwargs: for :class:`NativeAtariVecEnv`, e.g. ``n_threads``.
    :raises ValueError: for another environment than an Atari game, a wrapper that is not known
        here, wrappers in another order than that of ``wrap_atari``.
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
    """Return the actions as an array, the caller's own if it is one.

    A wrong one must not reach ale-py, where it would stop the emulators for ever.

    :param actions: (n_envs,) integers from 0 to ``n_actions - 1``.
    :raises TypeError: if they are no integers.
    :raises ValueError: if their shape is another, or one is outside the action space.
    """
    array = np.asarray(actions)
    if not np.issubdtype(array.dtype, np.integer):
        raise TypeError(f"actions must be integers, got {array.dtype}: {actions!r}")
    if array.shape != (n_envs,):
        raise ValueError(
            f"actions must have the shape ({n_envs},), one for each game, got {array.shape}"
        )
    outside = (array < 0) | (array >= n_actions)
    if outside.any():
        i = int(np.flatnonzero(outside)[0])
        raise ValueError(
            f"action {array[i]} of game {i} is outside the action space Discrete({n_actions}):"
            f" 0 to {n_actions - 1}"
        )
    return array
