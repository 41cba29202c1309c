"""The state of an ale-py emulator, exactly: its console, its random stream, its sticky action."""

from __future__ import annotations

import re
from itertools import zip_longest

import numpy as np
from ale_py import Action, ALEInterface, ALEState
from ale_py.env import AtariEnv

from sb3_atari_course._common.state_tree import Tree

#: Of ALE: it is drawn in every frame, and is no part of what ``cloneState`` returns.
_STICKINESS = "repeat_action_probability"
#: A std::mt19937 as C++ writes it: 624 words and a position.
_STREAM = re.compile(rb"(?:\d+ ){624}")


class UnsavableEnvError(ValueError):
    """An environment whose state cannot be saved; the message names the layer and the remedy."""


def read_emulator(env: AtariEnv) -> Tree:
    """Return the state of the emulator of an :class:`ale_py.env.AtariEnv`.

    ale-py saves all but two things. One is whether a frame was played since the last reset, on
    which Q*bert and Tetris depend: the number of frames tells. The other is the action that sticks.
    It matters in every game, if the random stream says that the next frame repeats it. Then we play
    those frames, compare them with what each action would do, and put the emulator back; its
    screen shows the last of these frames until the next step.

    :raises UnsavableEnvError: for sounds as observations, and for sticky continuous actions.
    """
    if env.sound_obs:
        raise UnsavableEnvError(
            "the emulator's sounds cannot be restored in ale-py 0.12.1: make the game with"
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
    """Put a state into the emulator of the same game; it may have played or not.

    Its screen shows another frame until the next step.
    """
    _put(env.ale, state["console"], state["sticky_action"])


def _sticky_action(env: AtariEnv, state: bytes) -> int:
    """Return the action that the next frames repeat, 0 if the next one repeats none."""
    ale: ALEInterface = env.ale
    n_frames = _n_stuck(ale, state)
    if n_frames == 0:
        return 0
    truth = _play(ale, n_frames)
    misfits: dict[int, int] = {}
    for action in [Action.NOOP.value, *(action.value for action in env._action_set)]:
        _put(ale, state, action)
        misfits[action] = _n_bytes_differing(_play(ale, n_frames), truth)
        if misfits[action] == 0:
            break  # others may fit as well: then no later frame knows the difference
    # in Pitfall II and Miniature Golf some bytes that no frame shows always differ
    best = min(misfits, key=misfits.__getitem__)
    _put(ale, state, best)
    return best


def _put(ale: ALEInterface, console: bytes, sticky_action: int) -> None:
    """Restore what ale-py saves, and with the last frames before it what it does not save."""
    state = ALEState(console)
    if state.getEpisodeFrameNumber() == 0:
        ale.reset_game()  # forgets the frames played, and the sticky action
    else:
        # its random stream knows in which frame the action is taken; and frames played from any
        # other state were seen to leave something behind in Tic-Tac-Toe 3D
        ale.restoreState(state)
        for _ in range(_n_stuck(ale, console) + 1):
            ale.act(sticky_action)
    ale.restoreState(state)


def _n_stuck(ale: ALEInterface, state: bytes) -> int:
    """Return how many of the next frames play the sticky action, whatever is asked.

    In each frame ALE draws a number from [0, 1) and takes the new action if the number is at least
    ``repeat_action_probability`` (``StellaEnvironment::act``).
    """
    episode_begins = ALEState(state).getEpisodeFrameNumber() == 0
    stickiness = ale.getFloat(_STICKINESS)
    if episode_begins or not 0 < stickiness < 1:
        return 0  # the sticky action is then NOOP, or there is none
    generator, n_frames = _read_generator(state), 0
    while True:
        number, _ = generator.random_raw(2).tolist()  # the second is for a second player
        if number / 2.0**32 >= stickiness:
            return n_frames
        n_frames += 1


def _read_generator(state: bytes) -> np.random.MT19937:
    """Return the random generator of the emulator: the last one in the state.

    It is a text behind its length (32 bits, little-endian), since the bytes that follow it could be
    digits too.
    """
    start = [match.start() for match in _STREAM.finditer(state)][-1]
    length = int.from_bytes(state[start - 4 : start], "little")
    *words, position = map(int, state[start : start + length].split())
    generator = np.random.MT19937()
    generator.state = {
        "bit_generator": "MT19937",
        "state": {"key": np.array(words, np.uint32), "pos": position},
    }
    return generator


def _play(ale: ALEInterface, n_frames: int) -> list[bytes]:
    """Return the states after each of some frames, in which the sticky action is played."""
    states = []
    for _ in range(n_frames):
        ale.act(Action.NOOP)  # whatever is asked
        states.append(ale.cloneState(include_rng=True).serialize())
    return states


def _n_bytes_differing(states: list[bytes], others: list[bytes]) -> int:
    pairs = zip(states, others, strict=True)
    return sum(a != b for one, other in pairs for a, b in zip_longest(one, other))
