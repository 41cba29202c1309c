"""Exercise 6, ``reinforce``: its first two functions, the returns and the update.

Returns are compared as numbers, the update by what one step of SGD makes of a linear policy.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.distributions import Distribution

from sb3_atari_course.course.exercises.judging import Solution, WrongError

_LEARNING_RATE = 0.1


def rewards_to_go(rewards: Sequence[float] | NDArray[Any], gamma: float) -> NDArray[np.float64]:
    """Return the discounted return of each step."""
    steps = np.arange(len(rewards))
    powers = np.triu(float(gamma) ** np.maximum(0, steps - steps[:, None]))
    returns: NDArray[np.float64] = powers @ np.asarray(rewards, dtype=np.float64)
    return returns


#: what was done -> the returns that come out, of (rewards, gamma)
_WRONG_RETURNS: dict[str, Callable[[NDArray[Any], float], NDArray[Any]]] = {
    "gamma is left out": lambda r, _: rewards_to_go(r, 1.0),
    "gamma is the number 0.99, not the argument": lambda r, _: rewards_to_go(r, 0.99),
    "they are in reverse order: who begins at the last step must turn the list round at the end": (
        lambda r, g: rewards_to_go(r, g)[::-1]
    ),
    "the sum runs from the first step on; it must begin at the last one and go back": (
        lambda r, g: rewards_to_go(r[::-1], g)[::-1]
    ),
    "the sum runs from the first step on, and the order is reversed; begin at the last one": (
        lambda r, g: rewards_to_go(r[::-1], g)
    ),
    "every step has the return of the whole episode; rewards before a step do not count": (
        lambda r, g: np.full(len(r), rewards_to_go(r, g)[0])
    ),
    "gamma is raised to the number of the step in the episode; count from the step itself": (
        lambda r, g: rewards_to_go(r * g ** np.arange(len(r)), 1.0)
    ),
    "gamma is applied to the reward of the step itself too": lambda r, g: g * rewards_to_go(r, g),
    "the reward of the step itself is left out": lambda r, g: rewards_to_go(r, g) - r,
    "they are a step behind, the reward of the step itself is left out": (
        lambda r, g: np.append(rewards_to_go(r, g)[1:], 0.0)
    ),
    "these are the rewards themselves: what follows is left out": lambda r, _: r,
    "only the next reward is added: it is the next return that counts": (
        lambda r, g: r + g * np.append(r[1:], 0.0)
    ),
    "the last reward is missing in the sum": lambda r, g: rewards_to_go(np.append(r[:-1], 0.0), g),
    "fractions were cut off: returns are float32": lambda r, g: np.trunc(rewards_to_go(r, g)),
}


def returns_are_discounted(solution: Solution) -> None:
    """The return of a step is its reward plus gamma times the return of the next step."""
    rewards, gamma = [1.0, 2.0, -3.0, 4.0, 6.0], 0.5
    given = list(rewards)
    found = _returns_by(solution, given, gamma)
    if given != rewards:
        raise WrongError(
            f"the list of rewards was changed in place, from {rewards} to {given}: it is the"
            " caller's; make another one (reversed(rewards) leaves it as it is)"
        )
    compare_returns(found, np.array(rewards), gamma)


def returns_are_of_one_episode(solution: Solution) -> None:
    """Returns start over in each call, also for an episode of one step."""
    solution.discounted_returns([8.0, 8.0], 0.5)
    for rewards in ([3.0, -1.0, 5.0], [2.0, 1.0], [5.0]):
        found, expected = _returns_by(solution, list(rewards), 0.9), rewards_to_go(rewards, 0.9)
        if len(found) > len(rewards):
            raise WrongError(
                f"an episode of {len(rewards)} steps, after others, got {len(found)} returns: the"
                " list must start empty in each call, inside the function"
            )
        if len(found) != len(rewards) or not np.allclose(found, expected, atol=1e-4):
            raise WrongError(
                f"an episode with the rewards {rewards}, gamma 0.9, after others, got the returns"
                f" {found.round(3).tolist()}, not {expected.round(3).tolist()}: something is left"
                " from the call before; nothing follows the last step of an episode"
            )


def _returns_by(solution: Solution, rewards: list[float], gamma: float) -> NDArray[Any]:
    """Call the student's function; return its result as an array with one axis."""
    found = solution.discounted_returns(rewards, gamma)
    if found is None:
        raise WrongError("discounted_returns returned None: its last line must be return ...")
    if not isinstance(found, torch.Tensor):
        raise WrongError(
            f"discounted_returns returns a tensor, got {type(found).__name__}:"
            " torch.tensor(returns, dtype=torch.float32)"
        )
    if not found.is_floating_point():
        raise WrongError(f"the returns are {found.dtype}, which has no fractions: take float32")
    if found.ndim != 1:
        raise WrongError(
            f"for {len(rewards)} rewards the returns have the shape {tuple(found.shape)}, not"
            f" ({len(rewards)},): one number for each step"
        )
    return found.detach().numpy().astype(np.float64)


def compare_returns(
    found: NDArray[Any],
    rewards: NDArray[Any],
    gamma: float,
    hint: str = "G_t = r_t + gamma * G_{t+1}, from the last step back to the first",
) -> None:
    """Compare returns with what is right, and with known mistakes.

    :param hint: what to say of an unknown one.
    :raises WrongError: if they are not right.
    """
    expected = rewards_to_go(rewards, gamma)
    if len(found) != len(expected):
        raise WrongError(
            f"{len(rewards)} rewards have {len(expected)} returns, one for each step, got"
            f" {len(found)}: the last step has one too, its reward"
        )
    if np.allclose(found, expected, atol=1e-4):
        return
    for mistake, compute in _WRONG_RETURNS.items():
        if np.allclose(found, compute(rewards, gamma), atol=1e-4):
            hint = mistake
            break
    else:
        if np.ptp(found) and np.corrcoef(found, expected)[0, 1] > 1 - 1e-6:
            hint = (
                "they were shifted or scaled (baseline, normalised): leave them as they are, the"
                " baseline is subtracted in reinforce_update, once"
            )
    raise WrongError(
        f"the rewards {rewards.tolist()} with gamma {gamma} have the returns"
        f" {expected.round(3).tolist()}, got {found.round(3).tolist()}: {hint}"
    )


class LinearPolicy(nn.Module):
    """A linear policy, whose weights can be compared.

    :param n_inputs: numbers in a state.
    :param n_actions: number of logits.
    """

    def __init__(self, n_inputs: int, n_actions: int) -> None:
        super().__init__()
        self.layer = nn.Linear(n_inputs, n_actions)
        weights = torch.linspace(-1, 1, n_inputs * n_actions)
        self.set_weights(weights.view(n_actions, n_inputs), torch.linspace(0.5, 0, n_actions))

    def set_weights(self, weight: torch.Tensor, bias: torch.Tensor) -> None:
        """Set the weights, (n_actions, n_inputs) and (n_actions,)."""
        with torch.no_grad():
            self.layer.weight.copy_(weight)
            self.layer.bias.copy_(bias)

    def forward(self, states: Any) -> torch.Tensor:
        """Return logits (B, n_actions), or (n_actions,) for one state.

        :raises WrongError: for anything but a float32 tensor, which PyTorch's layers refuse too.
        """
        if not isinstance(states, torch.Tensor):
            raise WrongError(
                f"policy got {type(states).__name__}, a network needs a tensor:"
                " torch.as_tensor(state)"
            )
        if states.dtype != torch.float32:
            raise WrongError(f"policy got {states.dtype}, its weights are float32: pass float32")
        logits: torch.Tensor = self.layer(states)
        return logits

    def flat(self) -> torch.Tensor:
        """Return all weights in one tensor, a copy."""
        return torch.cat([weights.detach().flatten() for weights in self.parameters()])


class RecordingSGD(torch.optim.SGD):
    """SGD that records what is done with it: ``backward``, ``zero_grad``, ``step``.

    :param policy: whose weights it changes.
    """

    def __init__(self, policy: LinearPolicy) -> None:
        super().__init__(policy.parameters(), lr=_LEARNING_RATE)
        self.log: list[str] = []
        policy.layer.weight.register_hook(  # type: ignore[no-untyped-call]
            lambda _: self.log.append("backward")
        )

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget the gradients."""
        self.log.append("zero_grad")
        super().zero_grad(set_to_none)

    def step(self, closure: Any = None) -> Any:
        """Change the weights."""
        self.log.append("step")
        return super().step(closure)

    def check_log(self) -> None:
        """Check that one gradient was computed, and one step made along it.

        :raises WrongError: with what is missing, or in the wrong order.
        """
        if "backward" not in self.log:
            raise WrongError(
                "no gradient reaches the policy: loss.backward() is missing, or the"
                " log-probabilities are computed inside no_grad, or cut off (detach, item)"
            )
        if "step" not in self.log:
            raise WrongError(
                "the given optimizer makes no step: call optimizer.step(), once, of the optimizer"
                " that was passed; do not make another one"
            )
        if self.log.count("step") > 1:
            raise WrongError(
                f"one update made {self.log.count('step')} steps of the optimizer: it is one for"
                " the whole episode, after the sum over its steps"
            )
        backward, step = self.log.index("backward"), self.log.index("step")
        if step < backward:
            raise WrongError(
                "optimizer.step() comes before loss.backward(): compute the gradient first"
            )
        if "zero_grad" in self.log[backward:step]:
            raise WrongError(
                "optimizer.zero_grad() stands between loss.backward() and optimizer.step(): it"
                " deletes the gradient before the step; call it before backward"
            )


#: Loss of (logits (T, n_actions), actions (T,), returns (T,), baseline).
_Loss = Callable[[torch.Tensor, torch.Tensor, torch.Tensor, float], torch.Tensor]


def _taken(values: torch.Tensor, actions: torch.Tensor) -> torch.Tensor:
    """Return the column of each row's action, (T,)."""
    return values.gather(1, actions[:, None])[:, 0]


def _log_probs(logits: torch.Tensor, actions: torch.Tensor) -> torch.Tensor:
    """Return the log-probability of each row's action, (T,)."""
    return _taken(logits.log_softmax(dim=1), actions)


def right_loss(
    logits: torch.Tensor, actions: torch.Tensor, returns: torch.Tensor, baseline: float
) -> torch.Tensor:
    """Return the loss of the lesson."""
    return -((returns - baseline) * _log_probs(logits, actions)).sum()


@contextmanager
def explained() -> Iterator[None]:
    """Say what causes the usual errors of PyTorch, whose messages are not for beginners."""
    Distribution.set_default_validate_args(True)  # torch.compile turns it off for good
    try:
        yield
    except ValueError as error:
        if "Simplex" in str(error):
            raise WrongError(
                "Categorical got numbers that are not probabilities: logits must be passed by name,"
                " Categorical(logits=policy(states))"
            ) from error
        raise
    except RuntimeError as error:
        if "does not require grad" in str(error):
            raise WrongError(
                "the loss has no gradient: the log-probabilities are computed inside no_grad, or"
                " cut off (detach, item)"
            ) from error
        raise


#: what was done -> the loss that does the same
_WRONG_LOSSES: dict[str, _Loss] = {
    "the sign is wrong: PyTorch minimises the loss, so it is minus the sum of (return - baseline)"
    " * log-probability": lambda z, a, g, b: -right_loss(z, a, g, b),
    "it is the mean over the steps; the text asks for the sum": (
        lambda z, a, g, b: right_loss(z, a, g, b) / len(a)
    ),
    "the baseline has no effect: subtract it from each return": (
        lambda z, a, g, b: right_loss(z, a, g, 0.0)
    ),
    "the baseline is added, subtract it": lambda z, a, g, b: right_loss(z, a, g, -b),
    "the mean of these returns is subtracted, not the baseline that was passed": (
        lambda z, a, g, b: right_loss(z, a, g, float(g.mean()))
    ),
    "the returns are normalised by their mean and standard deviation; subtract the baseline only": (
        lambda z, a, g, b: right_loss(z, a, (g - g.mean()) / (g.std() + 1e-8), 0.0)
    ),
    "it is the probability that is multiplied, not its logarithm (log_prob)": (
        lambda z, a, g, b: -((g - b) * _log_probs(z, a).exp()).sum()
    ),
    "logits are taken for log-probabilities: Categorical(logits=...).log_prob(actions)": (
        lambda z, a, g, b: -((g - b) * _taken(z, a)).sum()
    ),
    "the softmax is applied twice: Categorical(logits=...) does it itself": (
        lambda z, a, g, b: -((g - b) * _log_probs(z.softmax(dim=1), a)).sum()
    ),
    "the softmax runs over the steps (dim=0); it is over the actions of one step": (
        lambda z, a, g, b: -((g - b) * _taken(z.log_softmax(dim=0), a)).sum()
    ),
    "the returns are left out: every action becomes likelier": (
        lambda z, a, g, b: -_log_probs(z, a).sum()
    ),
    "all steps have the return of the first one": (
        lambda z, a, g, b: -((g[0] - b) * _log_probs(z, a)).sum()
    ),
    "the likeliest action of each row is learned, not the one that was taken": (
        lambda z, a, g, b: right_loss(z, z.argmax(1), g, b)
    ),
    "the log-probabilities of all actions are summed, not those of the actions taken": (
        lambda z, a, g, b: -((g - b)[:, None] * z.log_softmax(dim=1)).sum()
    ),
    "the shapes of log-probabilities and returns do not agree: (T, 1) and (T,) make (T, T)": (
        lambda z, a, g, b: -((g - b).sum() * _log_probs(z, a).sum())
    ),
    "the shapes do not agree: (T, 1) and (T,) make (T, T), of which the mean is taken": (
        lambda z, a, g, b: -((g - b).mean() * _log_probs(z, a).mean())
    ),
    "only the first step is learned from": (lambda z, a, g, b: right_loss(z[:1], a[:1], g[:1], b)),
    "only the last step is learned from": (
        lambda z, a, g, b: right_loss(z[-1:], a[-1:], g[-1:], b)
    ),
}


class UpdateCase:
    """An episode, and what an update makes of a policy.

    :param solution: the student's code.
    :param actions: of its steps.
    :param returns: of its steps.
    :param n_inputs: numbers in a state.
    :param n_actions: number of actions.
    """

    def __init__(
        self,
        solution: Solution,
        actions: Sequence[int] = (0, 0, 1, 1),
        returns: Sequence[float] = (5.0, -2.0, 3.5, 1.0),
        *,
        n_inputs: int = 4,
        n_actions: int = 2,
    ) -> None:
        self.solution, self.policy = solution, LinearPolicy(n_inputs, n_actions)
        self.optimizer = RecordingSGD(self.policy)
        numbers = torch.arange(float(n_inputs * len(actions)))
        self.states = torch.sin(1 + numbers).view(len(actions), n_inputs)
        self.actions, self.returns = torch.tensor(actions), torch.tensor(returns)

    def loss(self, baseline: float, compute: _Loss = right_loss) -> torch.Tensor:
        """Return a loss, for the weights as they are."""
        return compute(self.policy(self.states), self.actions, self.returns, baseline)

    def change_by(self, loss: torch.Tensor) -> torch.Tensor:
        """Return how one step of SGD down a loss changes the weights."""
        gradients = torch.autograd.grad(loss, list(self.policy.parameters()))
        return -_LEARNING_RATE * torch.cat([gradient.flatten() for gradient in gradients])

    def update(self, baseline: float) -> torch.Tensor:
        """Call the student's function; return how the weights changed.

        :raises WrongError: if its arguments were changed.
        """
        before = self.policy.flat()
        self.optimizer.log.clear()
        arguments = {"states": self.states, "actions": self.actions, "returns": self.returns}
        copies = {name: tensor.clone() for name, tensor in arguments.items()}
        with explained():
            self.result = self.solution.reinforce_update(
                self.policy, self.optimizer, *arguments.values(), baseline
            )
        for name, tensor in arguments.items():
            if not torch.equal(tensor, copies[name]):
                raise WrongError(
                    f"reinforce_update changed the {name} in place: the loop still needs them, make"
                    f" a new tensor ({name} = {name} - ..., not -=)"
                )
        return self.policy.flat() - before


def update_follows_the_formula(solution: Solution) -> None:
    """The loss is minus the sum over the steps of (return - baseline) * log-probability."""
    baseline = 1.3
    case = UpdateCase(solution)
    expected = case.change_by(case.loss(baseline))
    wrong = {what: case.change_by(case.loss(baseline, f)) for what, f in _WRONG_LOSSES.items()}
    change = case.update(baseline)
    case.optimizer.check_log()
    if torch.allclose(change, expected, atol=1e-4):
        return
    hints = (what for what, other in wrong.items() if torch.allclose(change, other, atol=1e-4))
    hint = next(hints, "")
    if any(not torch.equal(change, UpdateCase(solution).update(baseline)) for _ in range(5)):
        hint = "the same update twice makes different changes: nothing in it may be random, the"
        hint += " actions that were taken are passed"
    ratio = float(change @ expected / (expected @ expected))
    if not hint and torch.allclose(change, ratio * expected, atol=1e-4):
        hint = f"all changes are {ratio:.2f} times what they should be, something scales them"
    raise WrongError(
        f"an episode of 4 steps changed the first weights by {show_weights(change)}, one step of"
        f" the given optimizer along the formula by {show_weights(expected)}:"
        f" {hint or 'loss = -((returns - baseline) * log_probs).sum()'}"
    )


def show_weights(weights: torch.Tensor) -> list[float]:
    """Return the first weights, for a message."""
    return [round(float(weight), 3) for weight in weights[:3]]


def gradients_do_not_add_up(solution: Solution) -> None:
    """Each update begins with gradients of zero, and learns only from its own episode."""
    case = UpdateCase(solution)
    case.update(1.3)
    expected = case.change_by(case.loss(0.2))
    change = case.update(0.2)
    if not torch.allclose(change, expected, atol=1e-4):
        hint = "something of the first one is left, such as a list outside of the function"
        if "zero_grad" not in case.optimizer.log:
            hint = "the gradient of the first one is still there, optimizer.zero_grad() is missing"
        raise WrongError(
            f"a second update changed the first weights by {show_weights(change)}, its own gradient"
            f" makes {show_weights(expected)}: {hint}"
        )


def loss_is_returned(solution: Solution) -> None:
    """The loss is returned as a number, for episodes of one step, more inputs and actions too."""
    cases = (
        UpdateCase(solution),
        UpdateCase(solution, (1,), (2.0,)),
        UpdateCase(solution, (4, 2, 0), (1.0, 3.0, -1.0), n_inputs=7, n_actions=5),
    )
    for case in cases:
        n_steps, n_inputs = case.states.shape
        loss = case.loss(0.5)
        expected, change = case.change_by(loss), case.update(0.5)
        if not torch.allclose(change, expected, atol=1e-4):
            slip = float((change - expected).abs().max())
            raise WrongError(
                f"with {n_steps} steps, {n_inputs} inputs, {case.policy.layer.out_features} actions"
                f" weights are wrong by up to {slip:.3f} after an update: take sizes from the"
                " tensors that are passed"
            )
        if isinstance(case.result, bool) or not isinstance(case.result, (float, np.floating)):
            raise WrongError(
                "reinforce_update returns the loss as a number (loss.item()), got"
                f" {type(case.result).__name__}"
            )
        if not np.isclose(case.result, float(loss), atol=1e-3):
            raise WrongError(
                f"the loss was {float(loss):.3f}, reinforce_update returned {case.result:.3f}"
            )
