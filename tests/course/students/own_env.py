"""Mistakes and other right styles of exercise 5, ``own_env``."""

from __future__ import annotations

_START = "self.position = int(self.np_random.integers(self.size - 1))"
_SUPER = "        super().reset(seed=seed)\n"
_MOVE = """        if not slipped:
            self.position = max(0, self.position + (1 if action == 1 else -1))
"""
_REWARD = "        reward = 1.0 if terminated else -0.1\n"
_SLIPPED = "        slipped = self.np_random.random() < self.slip\n"
_BOX = "spaces.Box(0.0, 1.0, shape=(1,), dtype=np.float32)"
_SEEN = "np.array([self.position / (self.size - 1)], dtype=np.float32)"
_RETURN = "return self._observe(), reward, terminated, False, {}"
_END = "terminated = self.position == self.size - 1"

#: The lesson's class, for mistakes and styles that change some of its methods.
_CLASS = """
class Base(gym.Env):
    def __init__(self, size=20, slip=0.1):
        self.size, self.slip = size, slip
        self.position = 0
        self.observation_space = spaces.Box(0.0, 1.0, shape=(1,), dtype=np.float32)
        self.action_space = spaces.Discrete(2)

    def _observe(self):
        return np.array([self.position / (self.size - 1)], dtype=np.float32)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.position = int(self.np_random.integers(self.size - 1))
        return self._observe(), {}

    def step(self, action):
        if self.np_random.random() >= self.slip:
            self.position = max(0, self.position + (1 if action == 1 else -1))
        terminated = self.position == self.size - 1
        return self._observe(), 1.0 if terminated else -0.1, terminated, False, {}


class Corridor(Base):
"""

#: property that must find it -> (right, wrong, part of the message), see Mistake
MISTAKES: dict[str, list[tuple[str, str, str]]] = {
    "spaces_fit": [
        ("spaces.Discrete(2)", "spaces.Discrete(3)", "two actions, 0 and 1"),
        ("spaces.Discrete(2)", "spaces.Discrete(2, start=1)", "two actions, 0 and 1"),
        ("spaces.Discrete(2)", "spaces.Box(-1.0, 1.0, (1,))", "two actions, 0 and 1"),
        (
            "self.action_space = spaces.Discrete(2)",
            "action_space = spaces.Discrete(2)",
            "self.action_space is not set",
        ),
        (_BOX, "spaces.Box(-np.inf, np.inf, shape=(1,), dtype=np.float32)", "has no bounds"),
        (_BOX, "spaces.Box(-1.0, 1.0, shape=(1,), dtype=np.float32)", "from -1 to 1;"),
        (_BOX, "spaces.Box(0.0, size - 1.0, shape=(1,), dtype=np.float32)", "from 0 to 7;"),
        (_BOX, "spaces.Box(0.0, 1.0, shape=(1,), dtype=np.float64)", "dtype float64"),
        (_BOX, "spaces.Box(0, 1, shape=(1,), dtype=int)", "dtype int"),
        (_BOX, "spaces.Box(0.0, 1.0, shape=(), dtype=np.float32)", "has shape ()"),
        (_BOX, "spaces.Box(0.0, 1.0, shape=(size,), dtype=np.float32)", "has shape (8,)"),
        (_BOX, "spaces.Discrete(size)", "one number from 0 to 1: a Box"),
        ("size=20, slip=0.1):", "size=20):\n        slip = 0.1", "keep the arguments"),
        ("class Corridor(gym.Env)", "class Corridor", "derive it from gym.Env"),
        (
            "def step(self, action):\n        s",
            "def act(self, action):\n        s",
            "there is no method step",
        ),
        (
            "seed=None, options=None):\n        super",
            "seed=None):\n        super",
            "reset: got an unexpected keyword",
        ),
    ],
    "returned_values_have_their_types": [
        (_START, "self.position = self.np_random.integers(self.size - 1)", "as self.np_random.int"),
        ("(1 if action == 1 else -1)", "2 * action - 1", "Write int(action), or bool"),
        (_END, "terminated = self._observe()[0] == 1", "comparison with NumPy's numbers"),
        (_END, "terminated = int(self.position == self.size - 1)", "terminated is an int"),
        (_RETURN, "return self._observe(), reward, terminated, {}", "step returned a tuple of 4"),
        (_RETURN, "self._observe(), reward, terminated, False, {}", "a return is missing"),
        (
            _RETURN,
            "return self._observe(), reward, terminated, False, None",
            "info of step is None",
        ),
        ("return self._observe(), {}", "return self._observe()", "reset returned a ndarray"),
        ("return self._observe(), {}", "return self._observe(), None", "info of reset is None"),
        (_SEEN, "np.array([self.position / (self.size - 1)])", "dtype float64"),
        (_SEEN, "np.array(self.position / (self.size - 1), dtype=np.float32)", "has shape ()"),
        (_SEEN, "self.position", "the observation of reset is an int"),
        (_SEEN, "[self.position / (self.size - 1)]", "the observation of reset is a list"),
        (
            _REWARD,
            "        reward = np.float32(1.0 if terminated else -0.1)\n",
            "the reward is a float32",
        ),
        (_REWARD, "        reward = None\n", "the reward is None"),
    ],
    "observations_are_scaled": [
        (_START, "self.position = int(self.np_random.integers(19))", "is that of cell 16"),
        (_SEEN, "np.array([self.position], dtype=np.float32)", "not scaled"),
        (_SEEN, "np.array([self.position / self.size], dtype=np.float32)", "divided by size"),
        (_SEEN, "np.array([self.position / 19], dtype=np.float32)", "divided by 19"),
        (
            _RETURN,
            _RETURN.replace("self._observe()", "np.array([self.position], np.float32)"),
            "not scaled",
        ),
    ],
    "starts_are_seeded": [
        (
            "self.np_random.integers(self.size - 1)",
            "np.random.randint(self.size - 1)",
            "but from np.random.",
        ),
        (
            _START,
            "import random\n        self.position = random.randrange(self.size - 1)",
            "but from random.",
        ),
        (
            "self.np_random.integers(",
            "np.random.default_rng(seed).integers(",
            "but from np.random.default_rng(...).",
        ),
        (
            _START,
            "self.position = int(self.action_space.sample()) * 3",
            "but from self.action_space.sample().",
        ),
        (_START, "self.position = int(torch.randint(self.size - 1, (1,)))", "but from torch."),
        (
            "",
            _CLASS
            + """
    def __init__(self, size=20, slip=0.1):
        super().__init__(size, slip)
        self.rng = np.random.default_rng()

    def reset(self, *, seed=None, options=None):
        gym.Env.reset(self, seed=seed)
        self.position = int(self.rng.integers(self.size - 1))
        return self._observe(), {}
""",
            "but from self.rng.",
        ),
        (
            "",
            "\nRNG = np.random.default_rng(0)\n"
            + _CLASS
            + """
    def reset(self, *, seed=None, options=None):
        gym.Env.reset(self, seed=seed)
        self.position = int(RNG.integers(self.size - 1))
        return self._observe(), {}
""",
            "but from RNG.",
        ),
        (_START, "self.position = 0", "the start is always the same"),
        (_START, "pass", "the start is always the same"),
        (_SUPER, "", "super().reset(seed=seed) is missing"),
        (_SUPER, "        super().reset()\n", "is not given the seed"),
        (_SUPER, "        super().reset(seed=42)\n", "reset() without a seed seeds"),
        (_SUPER, "        super().reset(seed=seed or 42)\n", "reset() without a seed seeds"),
        (_SUPER, "        if seed:\n            super().reset(seed=seed)\n", "0 is a seed, too"),
        (
            "seed=None, options=None):\n        super",
            "seed=3, options=None):\n        super",
            "reset() without a seed seeds",
        ),
        (
            _SUPER,
            "        self.np_random = np.random.default_rng(seed)\n",
            "reset() without a seed seeds",
        ),
        (
            _SUPER
            + "        # Any cell but the goal, each as likely as the others.\n        "
            + _START,
            f"        {_START}\n{_SUPER}",
            "after seeding it",
        ),
        (
            "        return self._observe(), {}",
            "        self.position = (self.position + np.random.randint(2)) % (self.size - 1)\n"
            "        return self._observe(), {}",
            "reset samples from np.random;",
        ),
    ],
    "starts_are_uniform": [
        (_START, _START.replace("self.position", "position"), "does reset set self.position"),
        ("integers(self.size - 1)", "integers(self.size)", "start at the goal"),
        ("integers(self.size - 1)", "integers(1, self.size - 1)", "starts in cell 0;"),
        ("integers(self.size - 1)", "integers(self.size - 2)", "starts in cell 3;"),
        ("integers(self.size - 1)", "integers(min(19, self.size - 1))", "starts in cell 19, 20,"),
        (
            _START,
            "self.position = round(self.np_random.random() * (self.size - 2))",
            "not equally likely",
        ),
        (
            _START,
            "self.position = min(int(self.np_random.integers(self.size)), self.size - 2)",
            "not equally likely",
        ),
        (
            _START,
            "self.position = int(self.np_random.integers(-1, self.size - 1))",
            "starts in cell -1",
        ),
    ],
    "steps_lead_where_they_should": [
        (
            "max(0, self.position + (1 if action == 1 else -1))",
            "self.position + (1 if action == 1 else -1)",
            "the wall on the left holds",
        ),
        (
            "max(0, self.position + (1 if action == 1 else -1))",
            "(self.position + (1 if action == 1 else -1)) % self.size",
            "the wall on the left holds",
        ),
        ("(1 if action == 1 else -1)", "(-1 if action == 1 else 1)", "the actions are swapped"),
        (
            "(1 if action == 1 else -1)",
            "(1 if isinstance(action, int) and action == 1 else -1)",
            "a NumPy integer",
        ),
        ("(1 if action == 1 else -1)", "(2 if action == 1 else -1)", "leads to cell"),
        ("(1 if action == 1 else -1)", "int(action)", "action 0 in cell"),
        ("max(0, self", "max(1, self", "leads to cell 1, 0 expected"),
        (
            "max(0, self.position + (1 if action == 1 else -1))",
            "max(0, min(10, self.position + (1 if action == 1 else -1)))",
            "leads to cell 10,",
        ),
        ("if not slipped:", "if slipped:", "the slip is the wrong way round"),
        (_MOVE, "", "it never moves"),
        (
            "",
            _CLASS
            + """
    def step(self, action):
        seen = self._observe()
        return seen, *super().step(action)[1:]
""",
            "the observation is that of before the step",
        ),
        ("< self.slip\n", "< 0.1\n", "though slip is 0"),
        (
            "        return self._observe(), {}",
            "        seen = self._observe()\n        self.position = 0\n        return seen, {}",
            "the first step after reset starts elsewhere",
        ),
    ],
    "slips_are_seeded": [
        ("self.np_random.random() < ", "np.random.random() < ", "but from np.random."),
        (
            "self.np_random.random() < ",
            "np.random.default_rng(0).random() < ",
            "but from np.random.default_rng(...).",
        ),
        (_SLIPPED, "        slipped = self.slip > 0.5\n", "step samples nothing"),
        (_SLIPPED, "        super().reset(seed=0)\n" + _SLIPPED, "step seeds self.np_random"),
        (
            _SLIPPED,
            _SLIPPED + "        slipped ^= self.slip > 0 and np.random.random() < 0.1\n",
            "another episode: np.random is not seeded",
        ),
    ],
    "slips_are_as_likely_as_said": [
        ("< self.slip\n", "< self.slip / 4\n", "stayed where they were"),
        ("< self.slip\n", "< (self.slip and 0.1)\n", "stayed where they were"),
        ("if not slipped:", "if not slipped or action == 1:", ", 0% of 816 to the right"),
        (
            "if not slipped:",
            "if slipped:\n            self.position = max(0, self.position - 1)\n        else:",
            "a step that slips stays",
        ),
        (
            "",
            _CLASS
            + """
    def reset(self, *, seed=None, options=None):
        answer = super().reset(seed=seed)
        self.slips = self.np_random.random() < self.slip
        return answer

    def step(self, action):
        slip, self.slip = self.slip, float(self.slips)
        answer = super().step(action)
        self.slip = slip
        return answer
""",
            "% of the",
        ),
    ],
    "goal_ends_the_episode": [
        (_REWARD, "        reward = 1.0 if terminated else 0.1\n", "that moves"),
        (_REWARD, "        reward = 1.0 if terminated else 0.0\n", "that moves"),
        (_REWARD, "        reward = 1.0 if terminated else -1.0\n", "that moves"),
        (_REWARD, "        reward = -0.1\n", "that reaches the goal"),
        (_REWARD, "        reward = -0.1 + terminated\n", "reward 0.9, 1 expected"),
        (_REWARD, "        reward = -1.0 if terminated else -0.1\n", "that reaches the goal"),
        (_REWARD, "        reward = 1.0 if terminated else -0.1 * (not slipped)\n", "that slipped"),
        (
            "",
            _CLASS
            + """
    def step(self, action):
        is_bump = self.position == 0 and action == 0
        seen, reward, *rest = super().step(action)
        return seen, -1.0 if is_bump else reward, *rest
""",
            "against the wall",
        ),
        (_END, "self.over = terminated = getattr(self, 'over', False) or " + _END[13:], "reset it"),
        (_END, "terminated = self.position >= self.size", "the last cell, self.size - 1, ends"),
        (_END, "terminated = False", "the last cell, self.size - 1, ends"),
        (_END, "terminated = self.position == 19", "the last cell, self.size - 1, ends"),
        (_END, "terminated = self.position >= self.size - 2", "one cell too early"),
        (_END, "terminated = self.position in (0, self.size - 1)", "the wall on the left does not"),
    ],
    "time_does_not_matter": [
        (
            _RETURN,
            "self.n = getattr(self, 'n', 0) + 1\n        "
            "return self._observe(), reward, terminated, self.n >= 100, {}",
            "after 100 steps truncated is True",
        ),
        (
            _RETURN,
            "self.n = getattr(self, 'n', 0) + 1\n        "
            "return self._observe(), reward, terminated or self.n >= 1000, False, {}",
            "does not count steps",
        ),
        (
            _RETURN,
            "self.n = getattr(self, 'n', 0) + 1\n        "
            "return self._observe(), reward if self.n < 900 else -0.2, terminated, False, {}",
            "the reward is -0.2",
        ),
        (_RETURN, "return self._observe(), reward, terminated, terminated, {}", "at the goal"),
    ],
    "environments_are_independent": [
        (
            "        self.size, self.slip = size, slip\n",
            "        Corridor.size, Corridor.slip = size, slip\n",
            "kept in self",
        ),
        (
            "",
            "\nCELL = {'position': 0}\n"
            + _CLASS
            + """
    position = property(lambda self: CELL["position"], lambda self, x: CELL.update(position=x))
""",
            "kept in self",
        ),
    ],
    "returned_objects_stay_as_they_are": [
        (
            "",
            _CLASS
            + """
    def _observe(self):
        if not hasattr(self, "seen"):
            self.seen = np.zeros(1, dtype=np.float32)
        self.seen[0] = self.position / (self.size - 1)
        return self.seen
""",
            "return a new array each time",
        ),
        (
            _RETURN,
            "self.info = getattr(self, 'info', {})\n        "
            "return self._observe(), reward, terminated, False, self.info",
            "the same dict",
        ),
    ],
    "sb3_accepts_it": [
        (
            "class Corridor(gym.Env):",
            "class Corridor(gym.Env):\n    compute_reward = None",
            "check_env says",
        ),
    ],
}

#: style -> definitions that follow the solution, and replace its own
STYLES: dict[str, str] = {
    "NumPy's integers, bool()": f"""{_CLASS}
    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed, options=options)
        self.position = self.np_random.integers(0, self.size - 2, endpoint=True)
        return self._observe(), dict(cell=self.position)

    def step(self, action):
        if self.np_random.random() >= self.slip:
            self.position = np.clip(self.position + 2 * action - 1, 0, self.size - 1)
        at_goal = bool(self.position == self.size - 1)
        return self._observe(), np.where(at_goal, 1.0, -0.1).item(), at_goal, False, {{}}
""",
    "arrays as bounds, choice": """
class Corridor(gym.Env):
    def __init__(self, size=20, slip=0.1):
        self.size = size
        self.slip = slip
        self.observation_space = gym.spaces.Box(np.zeros(1, np.float32), np.ones(1, np.float32))
        self.action_space = gym.spaces.Discrete(np.int64(2))

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.at = int(self.np_random.choice(self.size - 1))
        return self.observation(), {}

    def observation(self):
        return np.float32([self.at / (self.size - 1)])

    def step(self, action):
        change = {0: -1, 1: +1}[action]
        self.at += int(self.np_random.choice([0, change], p=[self.slip, 1 - self.slip]))
        self.at = 0 if self.at < 0 else self.at
        if self.at + 1 == self.size:
            return self.observation(), 1, True, False, {}
        return self.observation(), -0.1, False, False, {}
""",
    "spaces of the class, match": """
class Corridor(gym.Env):
    observation_space = spaces.Box(low=0, high=1, shape=(1,))
    action_space = spaces.Discrete(2)

    def __init__(self, size=20, slip=0.1):
        super().__init__()
        self.last, self.slip = size - 1, slip

    def reset(self, seed=None, options=None):
        super().reset(seed=seed, options=options)
        self.position = int(self.np_random.random() * self.last)
        return np.full(1, self.position / self.last, np.float32), {}

    def step(self, action):
        slipped = self.np_random.uniform() <= self.slip
        match action:
            case _ if slipped:
                pass
            case 0 if self.position > 0:
                self.position -= 1
            case 1:
                self.position += 1
        done = self.position >= self.last
        seen = np.full(1, self.position / self.last, np.float32)
        return seen, [-0.1, 1.0][done], done, False, {}
""",
    "tables of transitions": f"""{_CLASS}
    def __init__(self, size=20, slip=0.1):
        super().__init__(size=size, slip=slip)
        cells = np.arange(size)
        self.next_cells = np.stack([np.maximum(cells - 1, 0), np.minimum(cells + 1, size - 1)])
        self.rewards = np.where(cells == size - 1, 1.0, -0.1)
        self.ends = (cells == size - 1).tolist()

    def step(self, action):
        if not self.np_random.binomial(1, self.slip):
            self.position = int(self.next_cells[action, self.position])
        cell = self.position
        return self._observe(), self.rewards[cell], self.ends[cell], False, {{}}
""",
    "a random number only where it matters": f"""{_CLASS}
    def step(self, action):
        blocked = action == 0 and self.position == 0
        if not blocked and (not self.slip or self.np_random.random() > self.slip):
            self.position += 1 if action else -1
        reached = self.position == self.size - 1
        return self._observe(), float(reached) or -0.1, reached, False, {{}}
""",
    "random numbers in blocks": f"""{_CLASS}
    def reset(self, *, seed=None, options=None):
        self.slips = []
        return super().reset(seed=seed)

    def step(self, action):
        if not self.slips:
            self.slips = list(self.np_random.random(16) < self.slip)
        if not self.slips.pop():
            self.position = [max(0, self.position - 1), self.position + 1][action]
        terminated = self.position == self.size - 1
        return self._observe(), 1.0 if terminated else -0.1, terminated, False, {{}}
""",
    "the state is an array": """
class Corridor(gym.Env):
    def __init__(self, size=20, slip=0.1):
        self.size, self.slip = size, slip
        self.observation_space = spaces.Box(np.float32(0), np.float32(1), (1,), np.float32)
        self.action_space = spaces.Discrete(2)
        self.state = np.zeros(1, dtype=np.int32)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.state[:] = self.np_random.integers(self.size - 1, size=1)
        return self.state.astype(np.float32) / np.float32(self.size - 1), {}

    def step(self, action):
        rng = self.np_random
        moves = rng.random(1) >= self.slip
        self.state += np.where(moves, 1 if action == 1 else -1, 0)
        np.clip(self.state, 0, None, out=self.state)
        terminated = bool((self.state == self.size - 1).all())
        reward = float(-0.1 + 1.1 * terminated)
        seen = self.state.astype(np.float32) / np.float32(self.size - 1)
        return seen, reward, terminated, False, {}
""",
    "an object for the walker": """
from dataclasses import dataclass


@dataclass
class Place:
    cell: int
    last: int

    def go(self, change):
        self.cell = min(self.last, max(0, self.cell + change))

    @property
    def is_goal(self):
        return self.cell == self.last


class Corridor(gym.Env[np.ndarray, int]):
    def __init__(self, size: int = 20, slip: float = 0.1) -> None:
        self.size, self.slip = size, slip
        self.observation_space = spaces.Box(0.0, 1.0, (1,), np.float32)
        self.action_space = spaces.Discrete(n=2)

    def _observe(self):
        return np.array([self.place.cell], dtype=np.float32) / (self.size - 1)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.action_space.seed(seed)
        self.place = Place(int(self.np_random.permutation(self.size - 1)[0]), self.size - 1)
        return self._observe(), {}

    def step(self, action):
        if self.np_random.random() > self.slip:
            self.place.go(int(action) * 2 - 1)
        over = self.place.is_goal
        return self._observe(), (1.0 if over else -0.1), over, False, {"cell": self.place.cell}
""",
    "a fraction as the position": f"""{_CLASS}
    def _observe(self):
        return np.array([self.position], dtype=np.float32)

    def reset(self, *, seed=None, options=None):
        gym.Env.reset(self, seed=seed)
        self.steps = 0
        self.position = self.np_random.integers(self.size - 1) / (self.size - 1)
        return self._observe(), {{}}

    def step(self, action):
        self.steps += 1
        if self.np_random.random() >= self.slip:
            self.position += (2 * action - 1) / (self.size - 1)
        self.position = min(max(self.position, 0.0), 1.0)
        goal = bool(np.isclose(self.position, 1.0))
        return self._observe(), 1.0 if goal else -0.1, goal, False, {{"steps": self.steps}}
""",
    "np_random set by hand": f"""{_CLASS}
    def reset(self, *, seed=None, options=None):
        if seed is not None:
            self.np_random, _ = gym.utils.seeding.np_random(seed)
        rng = np.random.default_rng(self.np_random.integers(2**32))
        self.position = int(rng.integers(self.size - 1))
        return self._observe(), {{}}
""",
}
