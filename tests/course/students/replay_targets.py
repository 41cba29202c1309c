"""Mistakes and other right styles of the exercise of lesson 3, ``replay_targets``."""

from __future__ import annotations

#: The two cells of the lesson's ``buffer_bytes`` that most mistakes change.
_FRAMES = "n_frames = 1 if each_frame_once else 2 * n_stack"
_BYTES = "return n_transitions * n_frames * height * width"
_VALUE = "target += discount * next_values[step]"
_END = "if terminated[step] or truncated[step]:"
_LAST = "if not terminated[step]:"
_RANGE = "in range(first, min(first + n_steps, len(rewards))):"
_REWARD = "target += discount * rewards[step]\n            discount *= gamma"

#: property that must find it -> (right, wrong, part of the message), see Mistake
MISTAKES: dict[str, list[tuple[str, str, str]]] = {
    "stacks_are_stored_twice": [
        (_FRAMES, "n_frames = 1 if each_frame_once else n_stack", "has two observations"),
        (_FRAMES, "n_frames = 1 if each_frame_once else 2", "a stack of n_stack frames"),
        (_FRAMES, "n_frames = 1 if each_frame_once else 8", "it is not always 4"),
        (_FRAMES, "n_frames = 1 if each_frame_once else n_stack + 1", "although they share"),
        (
            _FRAMES,
            "n_frames = 2 * n_stack if each_frame_once else 1",
            "here both stacks are stored",
        ),
        (_FRAMES, "n_frames = 1", "here both stacks are stored"),
        (_BYTES, f"{_BYTES} * 4", "not four (float32)"),
        (_BYTES, f"{_BYTES} * 8", "not bits"),
        (_BYTES, f"{_BYTES} * 3", "frames are gray"),
        (_BYTES, f"{_BYTES} / 1e9", "asked for, not GB"),
        (_BYTES, f"{_BYTES} / 2**30", "asked for, not GiB"),
        (_BYTES, "return n_transitions * n_frames * height * height", "width is missing"),
        (_BYTES, "return n_transitions * n_frames * width**2", "height is missing"),
        (_BYTES, "return n_transitions * n_frames * 84 * 84", "not always 84"),
        (_BYTES, "return n_transitions * n_frames * small.size", "not always 84"),
        (_BYTES, "return n_frames * height * width", "of one transition"),
        (_BYTES, "return n_transitions * n_frames", "this is the number of frames"),
        (_BYTES, "return 10**6 * n_frames * height * width", "not always a million"),
        (
            _BYTES,
            "return np.prod([n_transitions, n_frames, height, width], dtype=np.int32)",
            "does not fit into 32 bits",
        ),
        (_BYTES, _BYTES.replace("return ", "print(") + ")", "is its return missing?"),
        (_BYTES, "return f'{n_frames * n_transitions} frames'", "returns a number of bytes"),
    ],
    "frames_are_stored_once": [
        (_FRAMES, "n_frames = 2 * n_stack", "each_frame_once is not used"),
        (_FRAMES, "n_frames = n_stack if each_frame_once else 2 * n_stack", "a whole stack"),
        (_FRAMES, "n_frames = 2 if each_frame_once else 2 * n_stack", "two frames are counted"),
        (_FRAMES, "n_frames = 2 * n_stack / (8 if each_frame_once else 1)", "stacks of 4 only"),
        (_FRAMES, "n_frames = n_stack + 1 if each_frame_once else 2 * n_stack", "only one is new"),
    ],
    "one_step_is_the_plain_target": [
        ("discount *= gamma", "discount *= 0.99", "gamma is an argument"),
        (_RANGE, "in range(first, min(first + 3, len(rewards))):", "n_steps is an argument"),
        (
            "target, discount = 0.0, 1.0",
            "target, discount = (0.0, 1.0) if first == 0 else (target, discount)",
            "start over for each step",
        ),
        (_VALUE, "target += next_values[step]", "the value is not discounted"),
        (_VALUE, "target += discount**2 * next_values[step]", "once too often"),
        (f"{_LAST}\n            {_VALUE}", "pass", "next_values are not used"),
        (_LAST, "if terminated[step]:", "next_values are not used"),
        (_VALUE, "target += discount * next_values[step - 1]", "one step too early"),
        (
            _VALUE,
            "target += discount * next_values[min(step + 1, len(rewards) - 1)]",
            "one step too late",
        ),
        (_REWARD, "discount *= gamma\n            target += discount * rewards[step]", "gamma**0"),
        (_VALUE, "target -= discount * next_values[step]", "the target of step 0 of 6 is"),
        ("    return targets", "    print(targets)", "is its return missing?"),
        ("    return targets", "    return target", "one number for each step"),
        (
            "        targets.append(target)",
            "    targets.append(target)",
            "one target for each step",
        ),
        (_RANGE, "in range(first, min(first + n_steps + 1, len(rewards))):", "n_steps + 1 rewards"),
        (_RANGE, "in range(first, len(rewards)):", "to the end of the episode"),
        (_RANGE, "in range(first, min(first + 3, len(rewards))):", "the target of step 0 of 6 is"),
    ],
    "rewards_are_summed": [
        (_RANGE, "in range(first, first + 1):", "only one reward is summed"),
        (
            _RANGE,
            "in range(first, max(first + 1, min(first + n_steps - 1, len(rewards)))):",
            "n_steps - 1 rewards",
        ),
        (_REWARD, "target += rewards[step]\n            discount *= gamma", "are not discounted"),
        (
            _REWARD,
            "target += (1 if step == first else gamma) * rewards[step]\n"
            "            discount *= gamma",
            "by gamma alone",
        ),
        (_VALUE, "target += gamma * next_values[step]", "discounted once, by gamma"),
        (_VALUE, "target += gamma ** (step - first) * next_values[step]", "the target of step"),
        (_VALUE, "target += discount * next_values[first]", "after the first step"),
        (
            "in range(len(rewards)):",
            "in range(len(rewards) - n_steps + 1):",
            "the newest steps have a target, too",
        ),
        ("= 0.0, 1.0", "= 0.0, gamma", "the target of step 0"),
    ],
    "terminal_step_ends_the_sum": [
        (
            f"{_REWARD}\n            {_END}",
            f"{_END}\n                break\n            {_REWARD}\n            if False:",
            "the reward of the last step of an episode is missing",
        ),
        (_END, "if truncated[step]:", "the sum continues after the end"),
        (_END, "if False:", "the sum continues after the end"),
        (_LAST, "if True:", "nothing follows the end"),
        (_LAST, "if not terminated[first]:", "nothing follows the end"),
        (
            _END,
            "if step + 1 < len(rewards) and terminated[step + 1]:",
            "the target of step",
        ),
    ],
    "time_limit_ends_the_sum_only": [
        (_END, "if terminated[step]:", "the sum continues after the end"),
        (_LAST, "if not (terminated[step] or truncated[step]):", "truncated is treated as"),
        (_VALUE, "target += gamma**n_steps * next_values[step]", "gamma**n_steps although fewer"),
        (
            _LAST,
            "if truncated[step] or not terminated[step]:",
            "terminated counts",
        ),
    ],
    "newest_steps_have_fewer_rewards": [
        (
            _LAST,
            "if not terminated[step] and step + 1 < len(rewards):",
            "it is only the newest one",
        ),
        (
            _VALUE,
            "k = n_steps if not truncated[step] else step - first + 1\n"
            "            target += gamma**k * next_values[step]",
            "gamma**n_steps although fewer",
        ),
    ],
    "other_sequences_fit": [
        (
            _LAST,
            "if not any(terminated[first : first + n_steps]):",
            "a terminated step of the next episode",
        ),
        (_RANGE, "in range(first, min(first + min(n_steps, 4), len(rewards))):", "n_steps=5"),
        ("    targets = []", "    targets, gamma = [], max(gamma, 0.5)", "gamma=0.3"),
        ("    targets = []", "    targets, gamma = [], gamma or 0.99", "gamma=0"),
    ],
    "arrays_are_left_alone": [
        (
            "        targets.append(target)\n",
            "        targets.append(target)\n    rewards[:] = targets\n",
            "changes rewards in place",
        ),
        (
            "    return targets",
            "    terminated[-1] = True\n    return targets",
            "changes terminated in place",
        ),
        (
            "",
            """
cache = {}


def n_step_targets(rewards, terminated, truncated, next_values, gamma, n_steps):
    for first in range(len(rewards)):
        key = (first, len(rewards), gamma, n_steps, tuple(terminated), tuple(truncated))
        target, discount = 0.0, 1.0
        for step in range(first, min(first + n_steps, len(rewards))):
            target += discount * rewards[step]
            discount *= gamma
            if terminated[step] or truncated[step]:
                break
        if not terminated[step]:
            target += discount * next_values[step]
        cache.setdefault(key, target)
    return [cache[key] for key in cache if key[1:3] == (len(rewards), gamma)][-len(rewards) :]
""",
            "is something kept from the call before?",
        ),
    ],
}

#: style -> definitions that follow the solution, and replace its own
STYLES: dict[str, str] = {
    "recursive, product of a list": """
import math


def buffer_bytes(n_transitions, n_stack, height, width, each_frame_once):
    stacks = 1 if each_frame_once else 2
    frames = [1] if each_frame_once else [n_stack]
    return math.prod([n_transitions, stacks, *frames, height, width])


def n_step_targets(rewards, terminated, truncated, next_values, gamma, n_steps):
    def tail(step, left):
        if terminated[step]:
            return rewards[step]
        if truncated[step] or left == 1 or step == len(rewards) - 1:
            return rewards[step] + gamma * next_values[step]
        return rewards[step] + gamma * tail(step + 1, left - 1)

    return [tail(step, n_steps) for step in range(len(rewards))]
""",
    "vectorized as in SB3": """
def buffer_bytes(n_transitions, n_stack, height, width, each_frame_once):
    sizes = np.array([n_transitions, 1 if each_frame_once else n_stack, height, width])
    return np.prod(sizes) if each_frame_once else 2 * np.prod(sizes)


def n_step_targets(rewards, terminated, truncated, next_values, gamma, n_steps):
    n = len(rewards)
    cut = np.logical_or(terminated, truncated)
    cut[-1] = True  # of a new array
    indices = (np.arange(n)[:, None] + np.arange(n_steps)) % n
    ends = cut[indices]
    last = np.where(ends.any(axis=1), ends.argmax(axis=1), n_steps - 1)
    mask = np.arange(n_steps) <= last[:, None]
    sums = (rewards[indices] * gamma ** np.arange(n_steps) * mask).sum(axis=1)
    final = (np.arange(n) + last) % n
    return sums + gamma ** mask.sum(axis=1) * (1 - terminated[final]) * next_values[final]
""",
    "a generator, and the first stack counted": """
def buffer_bytes(n_transitions, n_stack, height, width, each_frame_once):
    frame = height * width
    if each_frame_once:
        return (n_stack + n_transitions - 1) * frame
    return 2.0 * n_transitions * n_stack * frame


def n_step_targets(rewards, terminated, truncated, next_values, gamma, n_steps):
    for t in range(len(rewards)):
        total, k = 0, 0
        while k < n_steps and t + k < len(rewards):
            total = total + gamma**k * rewards[t + k]
            k += 1
            if terminated[t + k - 1] or truncated[t + k - 1]:
                break
        future = 0 if terminated[t + k - 1] else next_values[t + k - 1]
        yield total + gamma**k * future
""",
    "PyTorch, other names of the arguments": """
import torch


def buffer_bytes(n, stack, h, w, once):
    return torch.tensor(n * h * w * (1 if once else 2 * stack), dtype=torch.int64)


def n_step_targets(r, done, cut, v, discount, n):
    r, v = torch.as_tensor(r), torch.as_tensor(v)
    targets = torch.zeros(len(r))
    for i in range(len(r)):
        window = list(range(i, min(i + n, len(r))))
        over = [j for j in window if done[j] or cut[j]]
        if over:
            window = window[: over[0] - i + 1]
        powers = discount ** torch.arange(len(window))
        targets[i] = (powers * r[window]).sum()
        if not done[window[-1]]:
            targets[i] += discount ** len(window) * v[window[-1]]
    return targets
""",
    "episodes first, in a dict": """
def buffer_bytes(n_transitions, n_stack, height, width, each_frame_once):
    observation = np.zeros((n_stack, height, width), dtype=np.uint8)
    per_transition = {True: observation[0].nbytes, False: 2 * observation.nbytes}
    return n_transitions * per_transition[each_frame_once]


def n_step_targets(rewards, terminated, truncated, next_values, gamma, n_steps):
    episodes, number = {}, 0
    for i, (done, cut) in enumerate(zip(terminated, truncated)):
        episodes.setdefault(number, []).append(i)
        number += bool(done or cut)
    targets = {}
    for steps in episodes.values():
        for position, i in enumerate(steps):
            window = steps[position : position + n_steps]
            target = sum(gamma**k * rewards[j] for k, j in enumerate(window))
            is_over = terminated[window[-1]]
            targets[i] = target + (not is_over) * gamma ** len(window) * next_values[window[-1]]
    return [targets[i] for i in sorted(targets)]
""",
    "a class, from the newest step back": """
class Buffer:
    def __init__(self, gamma, n_steps):
        self.gamma, self.n_steps, self.window = gamma, n_steps, []

    def push_front(self, reward, is_end):
        self.window = [reward] + ([] if is_end else self.window)[: self.n_steps - 1]
        return sum(self.gamma**i * r for i, r in enumerate(self.window))


def buffer_bytes(n_transitions, n_stack, height, width, each_frame_once):
    n_frames = n_transitions
    if not each_frame_once:
        n_frames *= n_stack
        n_frames += n_frames
    return n_frames * (height * width)


def n_step_targets(rewards, terminated, truncated, next_values, gamma, n_steps):
    buffer, targets = Buffer(gamma, n_steps), []
    for i in reversed(range(len(rewards))):
        target = buffer.push_front(rewards[i], terminated[i] or truncated[i])
        last = i + len(buffer.window) - 1
        if not terminated[last]:
            target += gamma ** len(buffer.window) * next_values[last]
        targets.insert(0, target)
    return np.array(targets, dtype=np.float32)
""",
    "one step at a time: bootstrapping n times": """
def buffer_bytes(n_transitions, n_stack, height, width, each_frame_once):
    return sum(height * width for _ in range(1 if each_frame_once else 2 * n_stack)) * n_transitions


def n_step_targets(rewards, terminated, truncated, next_values, gamma, n_steps):
    rewards, next_values = list(map(float, rewards)), list(map(float, next_values))
    is_inside = [not (a or b) for a, b in zip(terminated, truncated)]
    targets = [r + gamma * v * (not t) for r, v, t in zip(rewards, next_values, terminated)]
    one_step = list(targets)
    for _ in range(n_steps - 1):
        later = targets[1:] + [0.0]
        targets = [
            r + gamma * following if more and i < len(rewards) - 1 else plain
            for i, (r, following, more, plain) in enumerate(
                zip(rewards, later, is_inside, one_step)
            )
        ]
    return tuple(targets)
""",
    "a column of targets": """
def buffer_bytes(n_transitions, n_stack, height, width, each_frame_once):
    factor = 2 * n_stack
    if each_frame_once:
        factor //= 2 * n_stack
    return int(n_transitions) * int(height) * int(width) * factor


def n_step_targets(rewards, terminated, truncated, next_values, gamma, n_steps):
    targets = np.zeros(len(rewards))
    for first in range(len(rewards)):
        k = 1
        while (
            k < n_steps
            and first + k < len(rewards)
            and not (terminated[first + k - 1] | truncated[first + k - 1])
        ):
            k += 1
        powers = np.power(gamma, np.arange(k))
        last = first + k - 1
        targets[first] = rewards[first : first + k] @ powers
        targets[first] += (1.0 - terminated[last]) * gamma**k * next_values[last]
    return targets.reshape(-1, 1)
""",
}
