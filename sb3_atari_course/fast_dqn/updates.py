"""DQN gradient step: TD loss of a batch, gradient, gradient clipping, optimizer step."""

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

#: PyTorch adds this to the gradient norm before dividing by it.
_EPSILON = 1e-6


class GradientStep:
    """Gradient step on one batch, without synchronizing with the device.

    Networks, optimizer and settings are read from the model on construction, as SB3 reads them in
    each ``train()``, so create one instance per call of ``train()``.

    :param model: the DQN whose networks, optimizer, ``gamma`` and ``max_grad_norm`` are used.
    :param double_q: use the Double DQN target, see :func:`temporal_difference_loss`.
    :param compiled: compiled :func:`temporal_difference_loss`; None uses the eager function.
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
        """Update the weights and return the detached loss, a scalar tensor."""
        batch = batch._replace(
            observations=channels_last(batch.observations),
            next_observations=channels_last(batch.next_observations),
        )
        self.optimizer.zero_grad()  # frees the old gradients before the new ones are allocated
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
    """Return the TD loss: mean Huber loss of Q(s, a) against r + gamma * V(s').

    V(s') is the target network's value of its own greedy action (Mnih et al. 2015, algorithm 1),
    or, with ``double_q``, of the online network's greedy action (van Hasselt et al. 2016,
    equation 4).

    :param batch: observations of shape (B, ...), all other fields (B, 1); if ``discounts`` is
        None, ``gamma`` is used.
    :param q_net: online network.
    :param q_net_target: target network.
    :param gamma: discount per step.
    :param double_q: select the next action with the online network (Double DQN).
    :return: scalar float32; only ``q_net`` gets gradients.
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
    """Clip the gradient norm of all weights, as ``torch.nn.utils.clip_grad_norm_`` does.

    PyTorch multiplies gradients below the limit by 1, which takes 5 % of an update. On the CPU
    this multiplication is skipped; on a GPU, reading the norm would synchronize.
    """
    gradients = [weight.grad for weight in weights if weight.grad is not None]
    norm = th.nn.utils.get_total_norm(gradients)
    if norm.device.type == "cpu" and float(norm) + _EPSILON <= max_norm:
        return
    th.nn.utils.clip_grads_with_norm_(weights, max_norm, norm)


def q_function(q_net: QNetwork) -> QFunction:
    """Return a Q-network as a function of observations, (B, ...) -> (B, n_actions).

    SB3 checks in every call whether the observation space holds images. Here this is checked once,
    so that ``torch.compile`` can trace the whole computation. Layers replaced later take effect;
    other attributes are copied now.
    """
    if not (q_net.normalize_images and is_image_space(q_net.observation_space)):
        return q_net
    unscaled = copy.copy(q_net)  # shallow: shares its layers with q_net
    unscaled.normalize_images = False
    return lambda images: unscaled(images.float() / 255.0)


def channels_last(images: Any) -> Any:
    """Return the images, (B, c, h, w), in channels-last memory format.

    On a CPU this halves the time of the first convolution's backward pass; OpenCV reorders ten
    times as fast as PyTorch. Other observations, and those on a GPU, are returned unchanged.
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


def enable_fused(optimizer: Optimizer) -> None:
    """Enable the fused optimizer kernel, and on a GPU also CUDA graph capture (``capturable``).

    Optimizers without a fused kernel (RMSprop), or with ``fused`` or ``foreach`` set by the user,
    keep their implementation. On a GPU the learning rate becomes a tensor that
    :func:`set_learning_rate` fills in place.

    :param optimizer: as created or loaded by SB3; changed in place.
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


def set_learning_rate(optimizer: Optimizer, learning_rate: float) -> None:
    """Set the learning rate, in place if it is a tensor, because CUDA graphs hold its address."""
    for group in optimizer.param_groups:
        if isinstance(group["lr"], th.Tensor):
            group["lr"].fill_(learning_rate)
        else:
            group["lr"] = learning_rate


def portable_state(optimizer: Optimizer) -> dict[str, Any]:
    """Return the ``state_dict`` without the settings of :func:`enable_fused`, as SB3 saves it.

    A file with ``capturable`` could not be used on a CPU.

    :return: a ``state_dict`` that shares the optimizer's tensors, except for the step counts.
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
    """``torch.compile`` with a fallback to eager mode.

    The first call compiles, which takes about half a minute. If it fails, for example because
    there is no C++ compiler, one warning is issued and the eager function is used from then on.

    :param function: function of tensors.
    """

    def __init__(self, function: Callable[..., th.Tensor]) -> None:
        self._eager = function
        self._function: Callable[..., th.Tensor] = th.compile(function)

    def __call__(self, *args: Any, **kwargs: Any) -> th.Tensor:
        """Call the compiled function, or the eager one if compilation failed."""
        try:
            return self._function(*args, **kwargs)
        except Exception as error:  # any type: an error of the function itself is raised again here
            result = self._eager(*args, **kwargs)
            reason = next(iter(str(error).strip().splitlines()), type(error).__name__)
            warnings.warn(
                f"compile=True has no effect, training continues without it: {reason.rstrip('.:')}."
                " torch.compile needs a C++ compiler (g++, clang++ or MSVC, see CXX) and Python's"
                " headers on a CPU, Triton on a GPU",
                stacklevel=2,
            )
            self._function = self._eager
        return result
