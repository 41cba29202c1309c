"""When updates and copies of the target network come: how many steps apart, and why not."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from sb3_atari_course.course.exercises.judging import WrongError
from sb3_atari_course.course.exercises.recorded_training import RecordedTraining


def check_prefill(training: RecordedTraining) -> None:
    """Check that the first update comes when the replay buffer is filled.

    :raises WrongError: if not.
    """
    moments = [update.n_steps for update in training.updates]
    prefill, every = training.settings["prefill"], training.settings["update_every"]
    ends = {i + 1 for i, step in enumerate(training.env.log) if step.terminated}
    if ends.issuperset(moments):
        raise WrongError(
            f"updates come only at the ends of games, after {moments[:4]} steps: an update is due"
            f" every {every} steps, inside the loop over the steps of a game"
        )
    if not prefill <= moments[0] <= prefill + every + 1:
        raise WrongError(
            f"the first update came after {moments[0]} steps: the replay buffer must be filled with"
            f" {prefill} random steps before (prefill), and no more"
        )


def check_updates(training: RecordedTraining) -> None:
    """Check that updates come every update_every steps, after the filling.

    :param training: with update_every=3, and a memory_size that it reaches.
    :raises WrongError: if not.
    """
    check_prefill(training)
    moments = [update.n_steps for update in training.updates]
    gaps = np.diff(moments).tolist()
    if len(moments) < 3 or any(gap != 3 for gap in gaps):
        first = next((i for i, gap in enumerate(gaps) if gap != 3), 0)
        seen = gaps[max(0, first - 3) :][:6]
        raise WrongError(
            "an update is due every 3 steps, counted through all games; some came"
            f" {seen} steps apart{_why_these_gaps(training, moments)}"
        )


def _why_these_gaps(training: RecordedTraining, moments: list[int]) -> str:
    gaps = set(np.diff(moments).tolist())
    starts = np.cumsum([30, *map(len, training.played_games)])
    in_game = {m - int(starts[np.searchsorted(starts, m, "left") - 1]) for m in moments}
    if gaps == {1}:
        return ": update_every is ignored"
    if 0 in gaps:
        return ": there is more than one update at a time"
    if len(gaps) == 1:
        return ": update_every must decide"
    full = training.settings["memory_size"]
    if {b - a for a, b in pairwise(moments) if b <= full} == {3}:
        return ": that changes as soon as the replay buffer is full; count steps, not its entries"
    if len({count % 3 for count in in_game}) == 1:
        return ": the steps of each game are counted, not total_steps"
    if 1 in gaps:
        return ": is total_steps raised in each step, inside the loop over the steps of a game?"
    return ""


def check_copies(training: RecordedTraining) -> None:
    """Check that the target network gets the present weights every copy_every steps.

    :param training: with copy_every=10, update_every=2.
    :raises WrongError: if not.
    """
    updates = training.updates
    versions = [update.target_version for update in updates]
    if any(version != round(version) for version in versions):
        raise WrongError(
            "target_net has a mixture of new and old weights: all of q_net's are copied, every"
            " copy_every steps"
        )
    changes = (np.flatnonzero(np.diff(versions)) + 1).tolist()
    steps = [updates[i].n_steps for i in changes]
    if len(changes) < 2:
        raise WrongError(
            f"target_net got new weights {len(changes)} times in {updates[-1].n_steps} steps;"
            " copying q_net's is due every 10" + (", again and again, not once" if changes else "")
        )
    age = max(i - versions[i] for i in changes)
    if age > 1:
        raise WrongError(
            f"target_net got weights that are {age:.0f} updates old: copy q_net's present ones"
        )
    gaps = np.diff(steps).tolist()
    if any(gap != 10 for gap in gaps):
        raise WrongError(
            "target_net is due every 10 steps, counted through all games; new weights were seen"
            f" {gaps[:5]} steps apart{_why_these_copies(training, steps)}"
        )


def _why_these_copies(training: RecordedTraining, steps: list[int]) -> str:
    gaps = set(np.diff(steps).tolist())
    starts = np.cumsum([30, *map(len, training.played_games)])
    if gaps == {2}:
        return ": copy_every is ignored, it is copied with each update"
    if gaps == {20}:
        return ": updates are counted, not steps"
    if all(any(0 <= step - start <= 4 for start in starts) for step in steps):
        return ": it is copied with each game, or the steps of each game are counted"
    return ": count total_steps"
