"""Exercise 6, ``reinforce``: the loop, from the sampled actions to the baseline.

The loop plays a small environment, and what it passes to the update is recorded. The functions that
it calls are judged in :mod:`.reinforce_update`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from numpy.typing import NDArray

from sb3_atari_course.course.exercises.fake_envs import RecordingEnv, Step
from sb3_atari_course.course.exercises.judging import Exercise, Solution, WrongError
from sb3_atari_course.course.exercises.reinforce_update import (
    LinearPolicy,
    RecordingSGD,
    compare_returns,
    explained,
    gradients_do_not_add_up,
    loss_is_returned,
    returns_are_discounted,
    returns_are_of_one_episode,
    rewards_to_go,
    right_loss,
    show_weights,
    update_follows_the_formula,
)

#: Lengths of the episodes of :class:`_Countdown`, over and over.
_LENGTHS = (5, 9, 7)

#: Probabilities of the actions where sampling is looked at, and how much may be chance.
_SHARES, _CHANCE = (0.75, 0.25), 0.07
#: What the logits of :class:`_FixedPolicy` are more than the logarithms of its probabilities.
_OFFSET = 1.6
#: By what the rewards of each episode of :class:`_Countdown` are multiplied: returns rise and fall.
_SCALES = (1, 3, -2, 2, 4, -1)


class _Countdown(RecordingEnv):
    """An environment whose observations show when they were made; actions change nothing.

    Episodes are terminated after 5, 9 or 7 steps, unless they never end; no two observations and
    no two rewards in a row are alike.

    :param ends: False: episodes never end.
    :param time_limit: see :class:`.RecordingEnv`.
    """

    def __init__(
        self,
        *,
        ends: bool = True,
        time_limit: int | None = None,
        n_inputs: int = 4,
        n_actions: int = 2,
    ) -> None:
        super().__init__(n_actions, time_limit)
        self.observation_space = spaces.Box(-1.0, 1.0, (n_inputs,))
        self.ends, self.n_inputs = ends, n_inputs

    def first_state(self) -> tuple[int, int]:
        """Return the number of the episode and of the step."""
        return len(self.lengths) - 1, self.lengths[-1]

    def outcome(self, action: int) -> tuple[tuple[int, int], float, bool]:
        """Continue by a step."""
        episode, step = self.first_state()
        reward = float(_SCALES[episode % 6] * (2, -1, 0.5, 3)[step % 4])
        return (episode, step), reward, self.ends and step == _LENGTHS[episode % 3]

    def observe(self, state: tuple[int, int]) -> NDArray[np.float32]:
        """Return a vector (n_inputs,) float32."""
        episode, step = state
        numbers = np.arange(self.n_inputs)
        angles = 1 + 0.7 * episode + 0.31 * step + 1.3 * numbers
        vector: NDArray[np.float32] = np.sin(angles).astype(np.float32)
        return vector

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        """Begin an episode; the same seed again and again is refused."""
        if seed is not None and seed in self.reset_seeds:
            raise WrongError(
                f"env.reset(seed={seed}) in each episode makes all of them begin alike: seed"
                " the environment once, before the training, and call env.reset() here"
            )
        return super().reset(seed=seed, options=options)

    def step(self, action: Any) -> Any:
        """Play a step; take what Gymnasium's environments take."""
        if not self.action_space.contains(action):
            kind = type(action).__name__
            hint = ": int(...) makes a number of a tensor" if kind == "Tensor" else ""
            raise WrongError(
                f"env.step got {action!r} ({kind}), which is not an action, 0 to"
                f" {self.n_actions - 1}{hint}"
            )
        return super().step(action)


class _FixedPolicy(LinearPolicy):
    """A policy with the same probabilities in every state."""

    def __init__(self, probabilities: Sequence[float]) -> None:
        super().__init__(4, len(probabilities))
        self.set_weights(
            torch.zeros(len(probabilities), 4), torch.tensor(probabilities).log() + _OFFSET
        )


class _Training:
    """A training by the student's loop, of which every update is recorded.

    :param solution: the student's code.
    :param env: in which it plays.
    :param policy: default: one with two equally likely actions.
    :param changes: other arguments than the usual ones.
    """

    def __init__(
        self,
        solution: Solution,
        env: _Countdown | None = None,
        policy: LinearPolicy | None = None,
        **changes: Any,
    ) -> None:
        self.env = env or _Countdown()
        self.policy = policy or _FixedPolicy((0.5, 0.5))
        self.optimizer = RecordingSGD(self.policy)
        self.reports: list[Any] = []
        self.passes_on = True  # whether each update got the given policy and optimizer
        self.updates: list[tuple[int, list[Any]]] = []  # steps played until then, arguments
        self.settings: dict[str, Any] = {
            "n_episodes": 6,
            "max_steps": 50,
            "gamma": 0.8,
            "baseline_rate": 0.25,
            "report": self.reports.append,
            **changes,
        }
        given = solution.reinforce_update
        setattr(solution, "reinforce_update", self._record)  # noqa: B010  # a module's attribute
        try:
            with explained():
                self.games = solution.reinforce(
                    self.env, self.policy, self.optimizer, **self.settings
                )
        finally:
            setattr(solution, "reinforce_update", given)  # noqa: B010

    def _record(
        self, policy: Any, optimizer: Any, states: Any, actions: Any, returns: Any, baseline: Any
    ) -> float:
        """Record a call of the update function."""
        self.passes_on &= policy is self.policy and optimizer is self.optimizer
        self.updates.append((len(self.env.log), [states, actions, returns, baseline]))
        return 0.0

    @property
    def episodes(self) -> list[list[Step]]:
        """The steps that were played, episode by episode."""
        episodes: list[list[Step]] = [[] for _ in self.env.lengths]
        for step in self.env.log:
            episodes[step.episode].append(step)
        return episodes

    @property
    def actions(self) -> list[int]:
        """All actions that were played."""
        return [step.action for step in self.env.log]

    def numbers(self, column: int) -> list[NDArray[np.float64]]:
        """Return an argument of each update as numbers: states, actions, returns, baseline."""
        try:
            return [_as_array(values[column]) for _, values in self.updates]
        except (TypeError, ValueError) as error:
            name = ("states", "actions", "returns", "baseline")[column]
            raise WrongError(f"reinforce_update got {name} that are not numbers: {error}") from None


def _as_array(values: Any) -> NDArray[np.float64]:
    """Return a tensor, an array, a number or a list of them as one array."""
    if isinstance(values, torch.Tensor):
        return values.detach().numpy().astype(np.float64)
    if isinstance(values, (list, tuple)):
        return np.array([_as_array(value) for value in values], dtype=np.float64)
    return np.asarray(values, dtype=np.float64)


def episodes_are_played_whole(solution: Solution) -> None:
    """Each episode lasts until the environment or max_steps ends it."""
    for n_episodes in (6, 4):
        env = _Countdown()
        _Training(solution, env, n_episodes=n_episodes)
        lengths = [_LENGTHS[i % 3] for i in range(n_episodes)]
        if env.lengths != lengths:
            raise WrongError(
                f"n_episodes is {n_episodes}, the environment ends episodes after {lengths} steps,"
                f" played were {env.lengths}: one reset for each, then until terminated"
            )
    env = _Countdown(time_limit=4)
    _Training(solution, env)
    if env.lengths != [4] * 6:
        raise WrongError(f"an environment that truncates after 4 steps was played {env.lengths}")
    endless = _Countdown(ends=False)
    _Training(solution, endless, n_episodes=3, max_steps=13)
    if endless.lengths != [13] * 3:
        raise WrongError(
            f"with max_steps=13 episodes that never end lasted {endless.lengths} steps"
        )


def one_update_for_each_episode(solution: Solution) -> None:
    """There is one update after each episode, with the steps of this episode."""
    training = _Training(solution)
    moments = [n_steps for n_steps, _ in training.updates]
    ends = np.cumsum(training.env.lengths).tolist()
    if moments != ends:
        hint = "call it once, after the last step of each episode"
        if not moments:
            hint = "call it, it is not enough to compute the loss"
        elif sorted(set(moments)) == ends:
            hint = "several times after each episode, once is right"
        elif len(moments) > len(ends):
            hint = "it is called after each step: returns are known only at the end"
        raise WrongError(
            f"{len(ends)} episodes ended after {ends} steps, reinforce_update was called after"
            f" {moments[:8]}: {hint}"
        )
    lengths = training.env.lengths
    for column, name in enumerate(("states", "actions", "returns")):
        found = [len(np.atleast_1d(values)) for values in training.numbers(column)]
        if found != lengths:
            hint = ": its list must start empty in each episode" if found == ends else ""
            raise WrongError(
                f"episodes of {lengths} steps were learned from with {found} {name}{hint}"
            )


def update_gets_what_happened(solution: Solution) -> None:
    """The update gets the state in which each action was taken, the action, and its return."""
    training = _Training(solution)
    if not training.passes_on:
        raise WrongError(
            "reinforce_update got another policy or another optimizer than those that were passed"
            " to reinforce: pass them on"
        )
    states, actions, returns = (training.numbers(column) for column in range(3))
    for number, episode in enumerate(training.episodes):
        before, after = (
            np.array([training.env.observe(getattr(step, name)) for step in episode])
            for name in ("state", "next_state")
        )
        if not _same(states[number], before):
            hint = "keep the state that the policy saw when it chose the action"
            if _same(states[number], after):
                hint = "these are the states after the steps: keep each one before it is replaced"
            elif states[number].ndim == 3:
                hint = "there is an axis too many: keep the state itself, not a batch of one"
            elif _same(states[number], np.repeat(before[:1], len(episode), axis=0)):
                hint = "they are all the first one: state must become next_state after each step"
            raise WrongError(
                f"in episode {number} the states of the update, {states[number].shape}, are not"
                f" those in which the actions were taken, {before.shape}: {hint}"
            )
        played = np.array([step.action for step in episode])
        if not np.array_equal(actions[number].reshape(-1), played):
            raise WrongError(
                f"in episode {number} the actions {played.tolist()} were played, the update got"
                f" {actions[number].reshape(-1).astype(int).tolist()}"
            )
        rewards = np.array([step.reward for step in episode])
        compare_returns(
            returns[number].reshape(-1),
            rewards,
            training.settings["gamma"],
            hint="keep each reward as env.step returned it, and pass them to discounted_returns",
        )


def _same(found: NDArray[Any], expected: NDArray[Any]) -> bool:
    return found.shape == expected.shape and np.allclose(found, expected, atol=1e-5)


def actions_are_sampled(solution: Solution) -> None:
    """Actions are sampled with the probabilities of the policy."""
    env, policy = _Countdown(ends=False), _FixedPolicy(_SHARES)
    actions = _Training(solution, env, policy, n_episodes=4, max_steps=200).actions
    shares = np.bincount(actions, minlength=2) / len(actions)
    logits = np.log(_SHARES) + _OFFSET
    again = np.exp(_SHARES)
    mistakes = {
        "all actions are equally likely: the policy must decide": np.array([0.5, 0.5]),
        "logits are taken for probabilities: Categorical(logits=...)": logits / logits.sum(),
        "the softmax is applied twice: Categorical(logits=...) does it": again / again.sum(),
        "the probabilities are the wrong way round": np.array(_SHARES[::-1]),
    }
    if np.abs(shares - _SHARES).max() > _CHANCE:
        hints = (what for what, p in mistakes.items() if np.abs(shares - p).max() < _CHANCE)
        hint = next(hints, "sample from the policy alone, at each step")
        if shares[0] == 1:
            hint = (
                "it is always the same one: the likeliest (argmax), or a sample after the same seed"
                " (manual_seed) at each step; sample, or no other is ever tried"
            )
        raise WrongError(
            f"the policy's probabilities are {_SHARES}, of {len(actions)} actions the shares were"
            f" {shares.round(2).tolist()}: {hint}"
        )


def policy_sees_the_present_state(solution: Solution) -> None:
    """The policy decides in the present state."""
    env = _Countdown(ends=False)
    policy = LinearPolicy(4, 2)
    policy.set_weights(torch.tensor([[40.0, 0, 0, 0], [-40.0, 0, 0, 0]]), torch.zeros(2))
    steps = _Training(solution, env, policy, n_episodes=3, max_steps=40).env.log
    firsts = np.array([env.observe(step.state)[0] for step in steps])
    best, is_clear = (firsts < 0).astype(int), np.abs(firsts) > 0.25
    is_wrong = is_clear & (best != [step.action for step in steps])
    if is_wrong.any():
        hint = "ask it in the present state, state becomes next_state"
        before = np.roll(best, 1)
        if is_wrong.mean() < 0.25 and (best == before)[is_wrong].any():
            hint = "add no random actions (epsilon), sampling explores enough"
        raise WrongError(
            f"the policy is sure of its action in {is_clear.sum()} steps, another one was played"
            f" in {is_wrong.sum()} of them: {hint}"
        )


def chance_is_not_repeated(solution: Solution) -> None:
    """Each episode and each training samples other actions."""
    trainings = [
        _Training(
            solution, _Countdown(ends=False), _FixedPolicy((0.5, 0.5)), n_episodes=2, max_steps=60
        )
        for _ in range(2)
    ]
    first, second = (training.actions for training in trainings)
    if first[:60] == first[60:]:
        raise WrongError(
            "two episodes took the same 60 actions: no manual_seed and no new generator in the"
            " loop, chance must continue from episode to episode"
        )
    if first == second:
        raise WrongError(
            "two trainings took the same 120 actions: the seed belongs to the caller, before the"
            " training; leave manual_seed and generators with a fixed seed out of the function"
        )
    seeds, others = (training.env.reset_seeds[1:] for training in trainings)
    if seeds == others and any(seed is not None for seed in seeds):
        raise WrongError(
            f"two trainings called env.reset with the same seeds {seeds}, so that they begin their"
            " episodes alike: seed the environment before the training, call env.reset() here"
        )


def baseline_follows_the_returns(solution: Solution) -> None:
    """The baseline starts at 0 and moves towards the mean return after each update."""
    _Training(solution)  # a second training starts over
    for rate in (0.25, 0.5):
        training = _Training(solution, baseline_rate=rate)
        gamma = training.settings["gamma"]
        returns = [
            rewards_to_go([step.reward for step in game], gamma) for game in training.episodes
        ]
        means = [float(g.mean()) for g in returns]
        scores = [sum(step.reward for step in game) for game in training.episodes]
        baselines = training.numbers(3)
        if any(baseline.size != 1 for baseline in baselines):
            raise WrongError("the baseline is one number, not one for each step")
        found = np.ravel(baselines)
        expected = _running(means, rate)[:-1]
        if np.allclose(found, expected, atol=1e-3):
            continue
        mistakes = {
            "it never moves": 0 * expected,
            "it moves before the update, so that it depends on the episode's own actions: update"
            " the policy first": _running(means, rate)[1:],
            "it is the mean of the episode's own returns; earlier episodes count": np.array(means),
            "it is the mean return of the last episode alone: move only by baseline_rate": (
                np.array([0.0, *means[:-1]])
            ),
            "it moves towards the score, not the mean of the discounted returns": (
                _running(scores, rate)[:-1]
            ),
            "it moves towards the return of the first step, not the mean of all steps": (
                _running([float(g[0]) for g in returns], rate)[:-1]
            ),
            "it moves by 0.1, not by the argument baseline_rate": _running(means, 0.1)[:-1],
            "rate and 1 - rate have changed places": _running(means, 1 - rate)[:-1],
            "the old baseline is not subtracted: it grows and grows": (
                np.cumsum([0.0, *(rate * mean for mean in means[:-1])])
            ),
            "it starts at the first episode's mean, not at 0": (
                np.array([0.0, *(means[0] + _running(np.array(means) - means[0], rate)[1:-1])])
            ),
            "it moves away from the returns: the sign is wrong": _running(means, -rate)[:-1],
        }
        hints = (what for what, values in mistakes.items() if np.allclose(found, values, atol=1e-3))
        hint = next(hints, "")
        if not hint and abs(found[0]) > 1e-3:
            hint = "something is left from the training before: it starts at 0 in each"
        hint = hint or "baseline + baseline_rate * (mean of the returns - baseline)"
        raise WrongError(
            f"with baseline_rate={rate} the updates should get the baselines"
            f" {expected[:4].round(3).tolist()}, they got {found[:4].round(3).tolist()}: {hint}"
        )


def _running(values: Sequence[float] | NDArray[Any], rate: float) -> NDArray[np.float64]:
    """Return the running mean before each value and after the last."""
    means = [0.0]
    for value in values:
        means.append(means[-1] + rate * (value - means[-1]))
    return np.array(means)


def games_are_returned(solution: Solution) -> None:
    """A Game is returned and reported for each episode; its score is not discounted."""
    for _ in range(2):  # a second training starts over
        training = _Training(solution)
        games = training.games
        if not isinstance(games, list) or len(games) != 6:
            what = f"{len(games)} entries" if isinstance(games, list) else type(games).__name__
            raise WrongError(f"reinforce returns a list with a Game for each of 6 episodes: {what}")
        if len(training.reports) != 6:
            raise WrongError(
                f"report was called {len(training.reports)} times in 6 episodes: call it with each"
                " Game"
            )
        lengths = training.env.lengths
        scores = [sum(step.reward for step in game) for game in training.episodes]
        expected: dict[str, tuple[str, list[Any]]] = {
            "number": ("counted from 0", list(range(6))),
            "steps": ("those of the episode", lengths),
            "total_steps": ("those of all episodes so far", np.cumsum(lengths).tolist()),
            "score": ("the sum of the rewards, not discounted", scores),
        }
        for name, (meaning, values) in expected.items():
            found = [getattr(game, name, None) for game in games]
            if None in found or not np.allclose(np.array(found, dtype=float), values):
                raise WrongError(f"{name} of the games should be {values}, {meaning}, got {found}")


def sizes_come_from_outside(solution: Solution) -> None:
    """Environments with more inputs and more actions are played too."""
    env, policy = _Countdown(n_inputs=7, n_actions=5), LinearPolicy(7, 5)
    policy.set_weights(torch.zeros(5, 7), torch.zeros(5))
    try:
        actions = _Training(solution, env, policy, n_episodes=20).actions
    except Exception as error:
        raise WrongError(
            "in an environment with 7 numbers in a state and 5 actions your code raised"
            f" {type(error).__name__}: {error}. Sizes of the lesson do not fit there: take them"
            " from the policy's logits, or from env"
        ) from None
    missing = sorted(set(range(5)) - set(actions))
    if missing:
        raise WrongError(
            f"with five equally likely actions {missing} were never played in {len(actions)} steps:"
            " sample from all that the policy has"
        )


def training_follows_the_formula(solution: Solution) -> None:
    """Loop, returns and update together make of the policy what the formula makes."""
    env, policy = _Countdown(), LinearPolicy(4, 2)
    optimizer = RecordingSGD(policy)
    settings = {"max_steps": 50, "gamma": 0.8, "baseline_rate": 0.25}
    solution.reinforce(env, policy, optimizer, n_episodes=4, **settings)
    expected = _weights_by_the_formula(env, gamma=0.8, rate=0.25)
    if not torch.allclose(policy.flat(), expected, atol=1e-3):
        raise WrongError(
            f"after 4 episodes the first weights are {show_weights(policy.flat())}, the formula"
            f" makes {show_weights(expected)}; the optimizer made {optimizer.log.count('step')}"
            " steps, 4 are due: do the arguments of reinforce_update have the types and shapes of"
            " its docstring, and does nothing else change the policy?"
        )


def _weights_by_the_formula(env: _Countdown, gamma: float, rate: float) -> torch.Tensor:
    """Return the weights after a training in which the environment has recorded every step."""
    policy, baseline = LinearPolicy(4, 2), 0.0
    optimizer = RecordingSGD(policy)
    for episode in range(len(env.lengths)):
        steps = [step for step in env.log if step.episode == episode]
        states = torch.as_tensor(np.array([env.observe(step.state) for step in steps]))
        actions = torch.tensor([step.action for step in steps])
        returns = torch.tensor(rewards_to_go([step.reward for step in steps], gamma))
        optimizer.zero_grad()
        loss = right_loss(policy(states).log_softmax(dim=1), actions, returns, baseline)
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        baseline += rate * (float(returns.mean()) - baseline)
    return policy.flat()


REINFORCE = Exercise(
    functions=("discounted_returns", "reinforce_update", "reinforce"),
    properties=(
        returns_are_discounted,
        returns_are_of_one_episode,
        update_follows_the_formula,
        gradients_do_not_add_up,
        loss_is_returned,
        episodes_are_played_whole,
        one_update_for_each_episode,
        update_gets_what_happened,
        actions_are_sampled,
        policy_sees_the_present_state,
        chance_is_not_repeated,
        baseline_follows_the_returns,
        games_are_returned,
        sizes_come_from_outside,
        training_follows_the_formula,
    ),
)
