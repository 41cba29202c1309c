"""What a training learned from: it really happened, and was chosen at random from all there is."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from sb3_atari_course.course.exercises.batch_rows import Row
from sb3_atari_course.course.exercises.fake_envs import Step
from sb3_atari_course.course.exercises.judging import WrongError
from sb3_atari_course.course.exercises.marked_env import GAME, show_marks
from sb3_atari_course.course.exercises.recorded_training import RecordedTraining, Update


class ReplayedSteps:
    """The transitions that a training learned from, compared with the steps of its environment.

    :param training: of at most twelve games, those that fill the replay buffer included.
    """

    def __init__(self, training: RecordedTraining) -> None:
        self.training, self.log = training, training.env.log
        self.screens, self.settings = training.env.screens, training.settings
        #: mark -> index of the step that was made from it.
        self._moments = {step.state: i for i, step in enumerate(self.log)}

    def check(self) -> None:
        """Check that what was learned from really happened, and is remembered as it was seen.

        :raises WrongError: for the first transition that is wrong.
        """
        self._check_all([row for update in self.training.updates for row in update.rows])
        for update in self.training.updates:
            for row in update.rows:
                self._check_before(row, update.n_steps)
                step = self.log[self._moments[row.before[-1]]]
                self._check_after(row, step)
                self._check_facts(row, step)

    def _check_all(self, rows: list[Row]) -> None:
        """Check for what shows only in many transitions together."""
        known = [(row, self._moments.get(row.before[-1])) for row in rows]
        steps = [(row, self.log[moment]) for row, moment in known if moment is not None]
        reversed_ = [row.before for row in rows if _is_reversed(row.before)]
        if reversed_:
            raise WrongError(
                f"a remembered stack is {show_marks(reversed_[0])}: the newest frame comes first,"
                " but the network expects it last"
            )
        same = [row for row in rows if row.before == row.after]
        if same:
            raise WrongError(
                "state and next_state of a remembered transition are the same,"
                f" {show_marks(same[0].before)}: {self._why_the_same(same)}"
            )
        leaps = [(row, step) for row, step in steps if row.after[-1] > step.next_state]
        if leaps and all(step.state % GAME == 0 for _, step in leaps):
            raise WrongError(
                f"the step after {show_marks(leaps[0][0].before)} led to"
                f" {show_marks([leaps[0][1].next_state])}, remembered is"
                f" {show_marks(leaps[0][0].after)}: state stays the first one of its game; after"
                " each step state must become next_state (a stack: next_stack)"
            )
        wrong_ends = {step.terminated for row, step in steps if bool(row.ended) != step.terminated}
        if len(wrong_ends) == 2:
            raise WrongError(
                "ended is 1 where the game continued and 0 where it ended: store terminated, not"
                " its opposite (the update computes 1 - ended)"
            )

    def _why_the_same(self, rows: list[Row]) -> str:
        facts = [(step, step.action, self.learned_reward(step)) for step in self.log]
        before = {(step.state, *fact) for step, *fact in facts}
        after = {(step.next_state, *fact) for step, *fact in facts}
        remembered = {(row.before[-1], row.action, row.reward) for row in rows}
        if remembered <= before:
            return "next_state is the old state; store what env.step returned"
        if remembered <= after:
            return "both are the state after the step; remember it before `state = next_state`"
        return "the array is changed in place, in all transitions that hold it; make a new one"

    def learned_reward(self, step: Step) -> float:
        """Return the reward that is to be remembered of a step."""
        return float(np.sign(step.reward)) if self.screens else step.reward

    def _check_before(self, row: Row, n_steps: int) -> None:
        """Check that a step was made from a remembered state, and the older frames of a stack."""
        seen, moment = row.before, self._moments.get(row.before[-1])
        if moment is None or moment >= n_steps:
            is_end = seen[-1] in {step.next_state for step in self.log}
            raise WrongError(
                f"a remembered state, {show_marks(seen)}, was never the newest when a step was"
                " made:"
                + (
                    " a game had ended there; state is what was seen before the step"
                    if is_end
                    else " it is from another training or was changed"
                )
            )
        ages = range(len(seen) - 1, -1, -1)
        expected = tuple(seen[-1] - min(age, seen[-1] % GAME) for age in ages)  # back to the reset
        if seen != expected:
            raise WrongError(
                f"a remembered stack is {show_marks(seen)}, expected {show_marks(expected)}:"
                f" {_why_no_stack(seen)}"
            )
        size = self.settings["memory_size"]
        if moment < n_steps - size - 1:
            raise WrongError(
                f"with memory_size={size} a transition was learned from that is"
                f" {n_steps - moment} steps old: deque(maxlen=memory_size) forgets the oldest when"
                " a new one is appended"
            )

    def _check_after(self, row: Row, step: Step) -> None:
        """Check a remembered next state."""
        seen, later = row.before, row.after
        expected = (*seen[1:], step.next_state)
        if later == expected:
            return
        if later[-1] == step.next_state:
            why = _why_no_stack(later)
        elif seen[-1] >= later[-1] >= seen[-1] // GAME * GAME:
            why = (
                "an array is changed in place, or both are swapped; make a new array for each step"
            )
        elif later[-1] % GAME == 0:
            why = "that is the first state of a game; remember the transition before env.reset()"
        elif later[-1] // GAME == seen[-1] // GAME:
            why = f"{later[-1] - seen[-1]} steps lie between; set state = next_state in each step"
        else:
            why = "store what this env.step returned"
        raise WrongError(
            f"the step after {show_marks(seen)} led to {show_marks(expected)}, remembered is"
            f" {show_marks(later)}: {why}"
        )

    def _check_facts(self, row: Row, step: Step) -> None:
        """Check what is remembered of a step besides its states."""
        if row.action != step.action:
            raise WrongError(
                f"action {row.action} is remembered of a step with action {step.action}"
            )
        reward = self.learned_reward(step)
        if abs(row.reward - reward) > 1e-4:
            raise WrongError(
                f"reward {row.reward:g} is remembered of a step for which it is {reward:g}:"
                f" {self._why_this_reward(row, step)}"
            )
        if bool(row.ended) != step.terminated:
            raise WrongError(
                f"a step is remembered with ended={row.ended:g}, terminated was {step.terminated}:"
                f" {self._why_this_end(step)}"
            )

    def _why_this_reward(self, row: Row, step: Step) -> str:
        game = [one for one in self.log if one.episode == step.episode]
        played = game[: game.index(step) + 1]
        if row.reward == self.learned_reward(step) % 256:
            return "as a byte (uint8) -1 becomes 255; only frames are bytes"
        if self.screens and row.reward == step.reward:
            return "the agent learns from its sign, np.sign(reward)"
        if row.reward == np.sign(step.reward):
            return "here the agent learns from the reward itself, not from its sign"
        if row.reward in (sum(one.reward for one in played), sum(o.reward for o in played[:-1])):
            return "that is the score of the game so far"
        if len(played) > 1 and row.reward == self.learned_reward(played[-2]):
            return "that is the reward of the step before"
        return "store what env.step returned" + (", its sign" if self.screens else "")

    def _why_this_end(self, step: Step) -> str:
        n_steps = sum(one.episode == step.episode for one in self.log)
        is_last = [one for one in self.log if one.episode == step.episode][-1] is step
        if step.terminated:
            return "the game ended there, and nothing follows"
        if step.truncated:
            return "the clock cut it off (truncated), that is not an end"
        if is_last and n_steps == self.settings["max_steps"]:
            return "max_steps cut it off, that is not an end"
        return "store float(terminated) of the same step"

    def moments(self, update: Update) -> list[int]:
        """Return the number of the step that each transition of a batch is, after :meth:`check`."""
        return [self._moments[row.before[-1]] for row in update.rows]

    def check_coverage(self) -> None:
        """Check that every step is remembered, and that old ones are still sampled at the end.

        :raises WrongError: if not; all of the training must fit into the replay buffer.
        """
        updates = self.training.updates
        self._check_rows_differ()
        prefill, n_steps = self.settings["prefill"], len(self.log)
        sampled = {moment for update in updates for moment in self.moments(update)}
        filling, played = set(range(prefill)), set(range(prefill, n_steps))
        if not sampled & filling:
            raise WrongError(
                f"none of the {prefill} transitions that filled the replay buffer was ever learned"
                " from: the steps that follow are added to the same buffer"
            )
        if len(sampled & played) <= 2:
            raise WrongError(
                f"only the {prefill} transitions that filled the replay buffer were learned from:"
                " append each new one, and sample from the buffer to which it is appended"
            )
        late = updates[len(updates) * 2 // 3 :]
        oldest = min(moment for update in late for moment in self.moments(update))
        if oldest > n_steps / 4:
            raise WrongError(
                f"the last {len(late)} batches hold no transition of the first {oldest} steps: only"
                " the newest are sampled; sample from the whole buffer, which holds"
                f" {self.settings['memory_size']}"
            )
        early = range(prefill, prefill + (n_steps - prefill) // 2)
        missing = [moment for moment in early if moment not in sampled]
        if missing:
            ends = all(self.log[moment].terminated for moment in missing)
            raise WrongError(
                f"{len(missing)} of {len(early)} steps were never learned from, "
                + (
                    "those that end a game: remember the last transition, too"
                    if ends
                    else "such as number "
                    + ", ".join(str(m - prefill) for m in missing[:4])
                    + ": append the transition of each step"
                )
            )

    def check_choice(self) -> None:
        """Check that each batch is a new random choice.

        :raises WrongError: if not; the replay buffer must be full from the first update on.
        """
        size = self.settings["memory_size"]
        self._check_rows_differ()
        batches = [(update.n_steps, self.moments(update)) for update in self.training.updates]
        places = [[n_steps - moment for moment in moments] for n_steps, moments in batches]
        in_ring = [[moment % size for moment in moments] for _, moments in batches]
        if _repeats(places) or _repeats(in_ring):
            raise WrongError(
                "batches come from the same places of the replay buffer again: their random numbers"
                " repeat. Is a new generator made (default_rng(0), seed) in each update or game?"
                " Use the argument `rng`"
            )

    def _check_rows_differ(self) -> None:
        """Check that batches differ, and that their transitions do not follow each other."""
        batches = [self.moments(update) for update in self.training.updates]
        if all(sorted(row) == list(range(min(row), min(row) + len(row))) for row in batches):
            raise WrongError(
                "the transitions of a batch are neighbours, one step after the other: choose each"
                " at random from the whole replay buffer"
            )
        if _repeats(batches):
            raise WrongError(
                "the same batch was learned from several times: sample a new one for each update"
            )


def _is_reversed(marks: tuple[int, ...]) -> bool:
    """Return whether the first frame of a stack is the newest one, in the same game."""
    return marks[0] // GAME == marks[-1] // GAME and marks[0] > marks[-1] >= 0


def _repeats(lists: list[list[int]]) -> bool:
    return len({tuple(one) for one in lists}) < len(lists)


def _why_no_stack(marks: tuple[int, ...]) -> str:
    """Return what may be wrong with a stack whose newest frame is right."""
    if min(marks) < 0:
        return "black frames (zeros); a new game begins with its first frame n_stack times"
    if any(mark // GAME != marks[-1] // GAME for mark in marks):
        return "frames of the game before; a new game begins with a new stack, its first frame"
    if len(set(marks)) == 1:
        return "the same frame again and again; add each new one to the stack"
    if any(later - mark > 1 for mark, later in pairwise(marks)):
        return "frames are missing between; push the frame of each step into the stack"
    return "the next stack is the last one without its oldest frame, the new frame at its end"
