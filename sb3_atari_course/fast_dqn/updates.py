"""One gradient step: the loss of a batch, its gradient, clipping, the optimizer."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import cv2
import torch as th
from stable_baselines3 import DQN
from stable_baselines3.common.preprocessing import is_image_space
from stable_baselines3.common.type_aliases import ReplayBufferSamples
from stable_baselines3.dqn.policies import QNetwork
from torch import nn
from torch.optim import Optimizer

from sb3_atari_course.replay.stacks import CV_MAX_CHANNELS

#: (B, ...) observations -> (B, n_actions) Q-values.
QFunction = Callable[[th.Tensor], th.Tensor]

#: What PyTorch adds to the norm of a gradient before it divides by it.
_EPSILON = 1e-6


class GradientStep:
    """One update of a model's weights by one batch; nothing in it waits for the device.

    Everything is read from the model when the step is made, as SB3 reads it in each ``train``, so
    a step serves a single call of ``train``.

    :param model: its networks, optimizer, ``gamma`` and ``max_grad_norm`` are taken.
    :param double_q: see :func:`temporal_difference_loss`.
    :param compiled: that function, compiled; None: as it is.
    """

    def __init__(self, model: DQN, *, double_q: bool, compiled: Compiled | None = None) -> None:
        self.policy, self.optimizer = model.policy, model.policy.optimizer
        self.weights: Sequence[th.Tensor] = list(model.policy.parameters())
        self.nets = model.q_net, model.q_net_target
        self.gamma, self.max_grad_norm = model.gamma, model.max_grad_norm
        self.double_q, self.compiled = double_q, compiled
        self._loss: Any = compiled or temporal_difference_loss
        self._q_functions = [q_function(net) for net in self.nets] if compiled else self.nets

    def __call__(self, batch: ReplayBufferSamples) -> th.Tensor:
        """Update the weights, and return the loss, ()."""
        batch = batch._replace(
            observations=channels_last(batch.observations),
            next_observations=channels_last(batch.next_observations),
        )
        self.optimizer.zero_grad()  # now: their RAM is for the new gradients, not for the batch
        loss = self._loss(batch, *self._q_functions, gamma=self.gamma, double_q=self.double_q)
        loss.backward()
        clip_gradient(self.weights, self.max_grad_norm)
        self.optimizer.step()
        return loss.detach()  # type: ignore[no-any-return]


def temporal_difference_loss(
    batch: ReplayBufferSamples,
    q_net: QFunction,
    q_net_target: QFunction,
    *,
    gamma: float,
    double_q: bool,
) -> th.Tensor:
    """Return the mean Huber loss of Q(s, a) against r + gamma * (value of the next state).

    The value is the target network's: of its own best action (Mnih et al. 2015, algorithm 1), or
    with ``double_q`` of the online network's (van Hasselt et al. 2016, equation 4).

    :param batch: observations (B, ...), the rest (B, 1); ``discounts`` None: ``gamma``.
    :param gamma: discount per step.
    :return: () float32, with the gradient of ``q_net`` only.
    """
    with th.no_grad():
        next_q_values = q_net_target(batch.next_observations)
        if double_q:
            best = q_net(batch.next_observations).argmax(dim=1, keepdim=True)
            next_values = next_q_values.gather(1, best)
        else:
            next_values = next_q_values.amax(dim=1, keepdim=True)
        discounts = gamma if batch.discounts is None else batch.discounts
        targets = batch.rewards + (1 - batch.dones) * discounts * next_values
    q_values = q_net(batch.observations).gather(1, batch.actions.long())
    return nn.functional.smooth_l1_loss(q_values, targets)


def clip_gradient(weights: Sequence[th.Tensor], max_norm: float) -> None:
    """Shorten the gradient of all weights to a Euclidean norm, as ``clip_grad_norm_`` does.

    That multiplies a gradient which is short enough by 1, which takes a twentieth of an update. On
    a CPU it is left alone; on a GPU, knowing the norm would mean waiting for it.
    """
    gradients = [weight.grad for weight in weights if weight.grad is not None]
    norm = th.nn.utils.get_total_norm(gradients)
    if norm.device.type == "cpu" and float(norm) + _EPSILON <= max_norm:
        return
    th.nn.utils.clip_grads_with_norm_(weights, max_norm, norm)


def q_function(q_net: QNetwork) -> QFunction:
    """Return a Q-network as a function of observations, (B, ...) -> (B, n_actions).

    SB3 compares the bounds of the observation space in every call, to see if it holds images; here
    this is done once, so that torch.compile sees the whole computation. Layers that are replaced
    later are used, other attributes are those of now.
    """
    if not (q_net.normalize_images and is_image_space(q_net.observation_space)):
        return q_net
    unscaled = copy.copy(q_net)  # its layers are those of q_net
    unscaled.normalize_images = False
    return lambda images: unscaled(images.float() / 255.0)


def channels_last(images: Any) -> Any:
    """Return the same images, (B, c, h, w), the channels contiguous in RAM.

    On a CPU the backward pass of the first convolution takes half as long so (and OpenCV reorders
    ten times as fast as torch). Other observations, and those on a GPU, are returned as they are.
    """
    if not (
        isinstance(images, th.Tensor)
        and images.dtype == th.uint8
        and images.ndim == 4
        and images.device.type == "cpu"
        and images.is_contiguous()
        and 1 < images.shape[1] <= CV_MAX_CHANNELS
    ):
        return images
    n, channels, height, width = images.shape
    planes = images.numpy().reshape(n, channels, height * width)
    pixels = cv2.merge([planes[:, channel] for channel in range(channels)])
    return th.from_numpy(pixels).view(n, height, width, channels).permute(0, 3, 1, 2)


def make_fast(optimizer: Optimizer) -> None:
    """Let one kernel update all weights (``fused``), on a GPU also inside a CUDA graph.

    Optimizers without such a kernel (RMSprop), and those whose user chose otherwise, stay as they
    are. On a GPU the learning rate becomes a tensor, to be filled in place: see :func:`set_rate`.

    :param optimizer: as SB3 made it or loaded it.
    """
    for group in optimizer.param_groups:
        device = group["params"][0].device
        chosen = group.get("fused") is not None or group.get("foreach") is not None
        if "fused" in optimizer.defaults and not chosen:
            group["fused"] = True
        if device.type == "cuda" and "capturable" in optimizer.defaults:
            group["capturable"] = True
            group["lr"] = th.as_tensor(group["lr"], dtype=th.float32, device=device)
    for weight, state in optimizer.state.items():
        if weight.is_cuda and isinstance(state.get("step"), th.Tensor):
            state["step"] = state["step"].to(weight.device)


def set_rate(optimizer: Optimizer, learning_rate: float) -> None:
    """Set the learning rate; where it is a tensor, the one that a CUDA graph reads."""
    for group in optimizer.param_groups:
        if isinstance(group["lr"], th.Tensor):
            group["lr"].fill_(learning_rate)
        else:
            group["lr"] = learning_rate


def plain_state(optimizer: Optimizer) -> dict[str, Any]:
    """Return the state as SB3's own DQN would save it: without what :func:`make_fast` has set.

    A file with ``capturable`` could not resume on a CPU.

    :return: a ``state_dict``; its tensors are the optimizer's own, counts of steps copies.
    """
    saved = optimizer.state_dict()
    for group in saved["param_groups"]:
        group["lr"] = float(group["lr"])
        for flag in ("fused", "capturable"):
            if flag in group:
                group[flag] = optimizer.defaults[flag]
    saved["state"] = {
        weight: {
            name: value.cpu().clone() if name == "step" and isinstance(value, th.Tensor) else value
            for name, value in state.items()
        }
        for weight, state in saved["state"].items()
    }
    return saved


class Compiled:
    """The loss as PyTorch compiles it at the first call, a matter of half a minute.

    If that fails, for example for want of a C++ compiler, there is one warning, and the function
    runs as it is from then on.

    :param function: of tensors.
    """

    def __init__(self, function: Callable[..., th.Tensor]) -> None:
        self._eager = function
        self._function: Callable[..., th.Tensor] = th.compile(function)

    def __call__(self, *args: Any, **kwargs: Any) -> th.Tensor:
        """Call the function."""
        try:
            return self._function(*args, **kwargs)
        except Exception as error:  # whatever it is: if it is not the compiler's, it comes again
            result = self._eager(*args, **kwargs)
            reason = next(iter(str(error).strip().splitlines()), type(error).__name__)
            warnings.warn(
                f"compile=True has no effect, training goes on without: {reason.rstrip('.:')}."
                " On a CPU it needs a C++ compiler (g++, clang++ or MSVC, named by CXX) and"
                " Python's headers, on a GPU Triton",
                stacklevel=2,
            )
            self._function = self._eager
        return result
