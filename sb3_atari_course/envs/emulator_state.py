"""Exact state of an ale-py emulator: console, random generator and sticky action."""

from __future__ import annotations

import re
from itertools import zip_longest

import numpy as np
from ale_py import Action, ALEInterface, ALEState
from ale_py.env import AtariEnv

from sb3_atari_course._common.state_tree import Tree

#: Name of ALE's setting; the action to be repeated is not part of what ``cloneState`` returns.
_STICKINESS = "repeat_action_probability"
#: A std::mt19937 as C++ serializes it: 624 numbers and a position.
_STREAM = re.compile(rb"(?:\d+ ){624}")


class UnsavableEnvError(ValueError):
    """Environment whose state cannot be saved; the message names the layer and the remedy."""


def read_emulator(env: AtariEnv) -> Tree:
    """Return the state of the emulator of an :class:`ale_py.env.AtariEnv`.

    ale-py saves all but two things. One is whether a frame was played since the last reset, which
    matters in Qbert and Tetris and follows from the frame number. The other is the sticky action,
    which matters if the random generator is about to repeat it in the next frame. In that case the
    frames with the repeated action are played, compared with the effect of each possible action,
    and the emulator is restored; its screen shows the last of these frames until the next step.

    :raises UnsavableEnvError: for sounds as observations, and for sticky continuous actions.
    """
    if env.sound_obs:
        raise UnsavableEnvError(
            "sound observations cannot be restored in ale-py 0.12.1: make the game with"
            " sound_obs=False"
        )
    if env.continuous and env.ale.getFloat(_STICKINESS) > 0:
        raise UnsavableEnvError(
            "sticky continuous actions cannot be restored in ale-py 0.12.1: make the game with"
            " repeat_action_probability=0 or continuous=False"
        )
    state = env.ale.cloneState(include_rng=True).serialize()
    return {"console": state, "sticky_action": _sticky_action(env, state)}


def write_emulator(env: AtariEnv, state: Tree) -> None:
    """Restore the state of an emulator of the same game, at any point of play.

    Its screen shows another frame until the next step.
    """
    _restore(env.ale, state["console"], state["sticky_action"])


def _sticky_action(env: AtariEnv, state: bytes) -> int:
    """Return the action that the next frames repeat, 0 if the next frame does not repeat one."""
    ale: ALEInterface = env.ale
    n_frames = _n_repeats(ale, state)
    if n_frames == 0:
        return 0
    expected = _play(ale, n_frames)
    n_differences: dict[int, int] = {}
    for action in [Action.NOOP.value, *(action.value for action in env._action_set)]:
        _restore(ale, state, action)
        n_differences[action] = _n_bytes_differing(_play(ale, n_frames), expected)
        if n_differences[action] == 0:
            break  # if other actions match as well, no later frame depends on the choice
    # in Pitfall II and Miniature Golf some bytes without effect on the screen always differ
    best = min(n_differences, key=n_differences.__getitem__)
    _restore(ale, state, best)
    return best


def _restore(ale: ALEInterface, console: bytes, sticky_action: int) -> None:
    """Restore what ale-py saves, and by playing frames first what it does not save."""
    state = ALEState(console)
    if state.getEpisodeFrameNumber() == 0:
        ale.reset_game()  # clears the frame count and the sticky action
    else:
        # after as many frames as the generator repeats an action, the given one is taken; they
        # start from this state, because others left traces in Tic-Tac-Toe 3D
        ale.restoreState(state)
        for _ in range(_n_repeats(ale, console) + 1):
            ale.act(sticky_action)
    ale.restoreState(state)


def _n_repeats(ale: ALEInterface, state: bytes) -> int:
    """Return how many of the next frames repeat the sticky action, whatever action is given.

    In each frame ALE samples a number from [0, 1) and takes the new action if the number is at
    least ``repeat_action_probability`` (``StellaEnvironment::act``).
    """
    is_first_frame = ALEState(state).getEpisodeFrameNumber() == 0
    stickiness = ale.getFloat(_STICKINESS)
    if is_first_frame or not 0 < stickiness < 1:
        return 0  # the sticky action is NOOP, or there is none
    generator, n_frames = _read_generator(state), 0
    while True:
        number, _ = generator.random_raw(2).tolist()  # the second is for player B
        if number / 2.0**32 >= stickiness:
            return n_frames
        n_frames += 1


def _read_generator(state: bytes) -> np.random.MT19937:
    """Return the random generator of the emulator: the last one in the state.

    It is stored as text after its length (32 bits, little-endian); the length is needed because
    the bytes that follow could be digits too.
    """
    start = [match.start() for match in _STREAM.finditer(state)][-1]
    length = int.from_bytes(state[start - 4 : start], "little")
    *key, position = map(int, state[start : start + length].split())
    generator = np.random.MT19937()
    generator.state = {
        "bit_generator": "MT19937",
        "state": {"key": np.array(key, np.uint32), "pos": position},
    }
    return generator


def _play(ale: ALEInterface, n_frames: int) -> list[bytes]:
    """Return the states after each of some frames that repeat the sticky action."""
    states = []
    for _ in range(n_frames):
        ale.act(Action.NOOP)  # the sticky action is repeated instead
        states.append(ale.cloneState(include_rng=True).serialize())
    return states


def _n_bytes_differing(states: list[bytes], others: list[bytes]) -> int:
    pairs = zip(states, others, strict=True)
    return sum(a != b for one, other in pairs for a, b in zip_longest(one, other))
