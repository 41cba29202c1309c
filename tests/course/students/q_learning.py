"""Mistakes and other right styles of exercise 1, ``q_learning``."""

from __future__ import annotations

# lines of the lesson's solution that several mistakes replace
_ZEROS = "np.zeros((env.observation_space.n, env.action_space.n))"
_LOOP = "    for episode in range(n_episodes):"
_RESET = "= env.reset()\n"
_TARGET = "target = reward if terminated else"
_MAX = "np.max(table[next_state])"
_UPDATE = "table[state, action] += alpha * (target - table[state, action])"
_ERROR = "(target - table[state, action])"
_ENTRY = "EpisodeStep(env.render(), len(steps), next_state, action, reward, total_reward)"
_APPEND = "        history.append(Episode(epsilon, steps))\n"
_FORMULA = "min_epsilon + (max_epsilon - min_epsilon) * np.exp(-epsilon_decay * n_over)"
_EXP = "np.exp(-epsilon_decay * n_over)"
_RETURN = "    return table, history"
_EXPLORES = "rng.random() < epsilon"
_RANDOM = "rng.integers(env.action_space.n)"
_BEST = "int(np.argmax(table[state]))"

_HEAD = """
def q_learning(
    env, *, n_episodes, max_steps, max_epsilon, min_epsilon, epsilon_decay, alpha, gamma, rng
):
"""

_SHORT_UPDATE = """\
            target = reward if terminated else reward + gamma * max(table[after])
            table[state][action] += alpha * (target - table[state][action])
"""

#: a shorter solution, for mistakes that need a line outside of it, or other lines
_SHORT = f"""{_HEAD}    n_states, n_actions = int(env.observation_space.n), int(env.action_space.n)
    table = [[0.0] * n_actions for _ in range(n_states)]
    history = []
    for n in range(n_episodes):
        epsilon = min_epsilon + (max_epsilon - min_epsilon) * np.exp(-epsilon_decay * n)
        (state, _), steps, total, done = env.reset(), [], 0.0, False
        while not done and len(steps) < max_steps:
            explores = rng.random() < epsilon
            action = int(rng.integers(n_actions)) if explores else int(np.argmax(table[state]))
            after, reward, terminated, truncated, _ = env.step(action)
{_SHORT_UPDATE}            total += reward
            steps.append(EpisodeStep("", len(steps), after, action, reward, total))
            state, done = after, terminated or truncated
        history.append(Episode(epsilon, steps))
    return np.array(table), history
"""


def _short(*changes: tuple[str, str], before: str = "") -> str:
    text = _SHORT
    for right, wrong in changes:
        assert text.count(right) == 1, right
        text = text.replace(right, wrong)
    return f"\n{before}\n{text}"


#: property that must find it -> (right, wrong, part of the message), see Mistake
MISTAKES: dict[str, list[tuple[str, str, str]]] = {
    "table_starts_at_zero": [
        (_ZEROS, "np.zeros((env.action_space.n, env.observation_space.n))", "rows are states"),
        (_ZEROS, "np.zeros((n_states, n_actions))", "take them from env.observation_space.n"),
        (_ZEROS, "np.zeros((500, 6))", "take them from env.observation_space.n"),
        (_ZEROS, _ZEROS[:-1] + ", dtype=int)", "values are fractions"),
        (_RANDOM, "rng.integers(6)", "take the number of actions from env.action_space.n"),
        (f"int({_RANDOM})", "rng.random() * 1.0", "an action is an integer"),
        (_RETURN, "    return table", "returns two things"),
        (_RETURN, "    return history, table", "the order is return table, history"),
        (_RETURN, "    table, history", "returned nothing"),
        (_RETURN, "    return dict(enumerate(table)), history", "is a dict"),
        (_RETURN, "    return table, dict(enumerate(history))", "a list with an Episode"),
        ("Episode(epsilon, steps)", "Episode(steps, epsilon)", "the order is Episode(epsilon"),
        ("Episode(epsilon, steps)", "steps", "without epsilon and steps"),
        ("Episode(epsilon, steps)", "Episode(epsilon, len(steps))", "an EpisodeStep for each"),
        ("    history = []\n", "    env, history = gym.make('Taxi-v4'), []\n", "make no other one"),
        ("np.zeros((env.observation_space.n,", "np.ones((env.observation_space.n,", "starts at 0"),
    ],
    "calls_are_independent": [
        ("", _short(("history = []", "history = KEPT"), before="KEPT = []"), "the list survives"),
        (
            "",
            _short(
                ("gamma, rng\n", "gamma, rng, table=[[0.0]] * 4\n"),
                ("table = [[0.0] * n_actions for _ in range(n_states)]", "pass"),
            ),
            "the table survives",
        ),
        (
            f"    table = {_ZEROS}\n",
            f'    table = vars(q_learning).setdefault("table", {_ZEROS})\n',
            "the table survives",
        ),
        (
            f"    table = {_ZEROS}\n",
            f'    table = vars(q_learning).setdefault("table", {_ZEROS})\n    table[:] = 0.0\n',
            "a second call changes the table that the first returned",
        ),
        (
            "",
            _short(
                ("    history = []\n", "    global n\n    history = []\n"),
                ("    for n in range(n_episodes):\n", "    for _ in range(n_episodes):\n"),
                ("        history.append", "        n += 1\n        history.append"),
                before="n = 0",
            ),
            "what counts the episodes, survives",
        ),
    ],
    "episodes_begin_and_end": [
        ("next_state, terminated or truncated", "next_state, truncated", "which was terminated"),
        ("next_state, terminated or truncated", "next_state, terminated", "which was truncated"),
        (
            f"        state, _ {_RESET}",
            f"        if episode == 0:\n            state, _ {_RESET}",
            "which was terminated",
        ),
        (" and len(steps) < max_steps", "", "max_steps must end it"),
        ("len(steps) < max_steps", "len(steps) < 200", "is max_steps used?"),
        ("len(steps) < max_steps", "len(steps) <= max_steps", "off by one"),
        (
            "",
            _short(
                ("    history = []\n", "    history, n_steps = [], 0\n"),
                ("len(steps) < max_steps", "n_steps < max_steps"),
                ("            total +=", "            n_steps += 1\n            total +="),
            ),
            "count the steps of each episode from 0",
        ),
        (
            "            target =",
            "            if not (terminated or truncated):\n"
            "                next_state, reward, terminated, truncated, _ = env.step(action)\n"
            "            target =",
            "env.step is called twice",
        ),
        (_LOOP, "    for episode in range(100):", "n_episodes is 6, but 100"),
        (_LOOP, "    for episode in range(1, n_episodes):", "n_episodes is 6, but 5"),
        (_RETURN, f"    {_RETURN}", "does return stand inside"),
        (
            "",
            _short(
                ("for n in range(n_episodes):\n", "n = 0\n    while n < n_episodes:\n"),
            ),
            "the loop of the episodes has no end",
        ),
        (_APPEND, f"    {_APPEND}", "not each step"),
        (_APPEND, "        history = [Episode(epsilon, steps)]\n", "append to it inside"),
    ],
    "resets_have_no_seed": [
        (_RESET, "= env.reset(seed=0)\n", "begins in the same state"),
        (_RESET, "= env.reset(seed=episode)\n", "each call meets the same starts"),
    ],
    "history_has_the_steps": [
        ("Episode(epsilon, steps)", "Episode(epsilon, [])", "an EpisodeStep for each step"),
        (
            "",
            _short(
                ("    history = []\n", "    history, steps = [], []\n"),
                ("env.reset(), [], 0.0, False", "env.reset(), steps, 0.0, False"),
                ("        while", "        steps.clear()\n        while"),
            ),
            "a new empty list",
        ),
        (
            "",
            _short(
                ("    history = []\n", "    history, total = [], 0.0\n"),
                ("steps, total, done = env.reset(), [], 0.0,", "steps, done = env.reset(), [],"),
            ),
            "it starts at 0 in each episode",
        ),
        (_ENTRY, _ENTRY.replace("total_reward", "total_reward - reward"), "add the reward of"),
        (
            "            # 6. ",
            "            if terminated:\n                break\n            # 6. ",
            "the last one is missing",
        ),
        (_ENTRY, _ENTRY.replace("total_reward", "reward"), "should have total_reward"),
        (_ENTRY, _ENTRY.replace("next_state", "state"), "the state before the step"),
    ],
    "one_cell_changes": [
        (_UPDATE, _UPDATE.replace("[state, action] +=", "[state] +="), "the whole row of the"),
        (_UPDATE, _UPDATE.replace("[state, action] +=", "[:, action] +="), "a whole column"),
        (_UPDATE, f"state = next_state\n            {_UPDATE}", "comes after the update"),
        (
            "",
            _short(
                ("[[0.0] * n_actions for _ in range(n_states)]", "[[0.0] * n_actions] * n_states")
            ),
            "one and the same list",
        ),
    ],
    "last_step_is_worth_its_reward": [
        (
            _UPDATE,
            "table[state, action] = (1 - alpha) * table[state, action] + target",
            "alpha belongs to the target too",
        ),
        (_ERROR, "(table[state, action] - target)", "sign is wrong"),
        (f"alpha * {_ERROR}", _ERROR, "alpha is missing"),
        (_ERROR, "target", "must be subtracted"),
        (f"alpha * {_ERROR}", f"0.5 * {_ERROR}", "alpha is not used"),
        (
            "",
            _short(
                ("gamma * max(table[after])", "alpha * max(table[after])"),
                ("alpha * (target", "gamma * (target"),
            ),
            "alpha and gamma have changed places",
        ),
        (_UPDATE, _UPDATE.replace("+=", "="), "it must be moved by that"),
        (_UPDATE, f"{_UPDATE}\n            {_UPDATE}", "learned from twice"),
        (_TARGET, "target = 0 if terminated else", "a terminated step does not move its cell"),
        (
            _UPDATE,
            f"if not (terminated or truncated):\n                {_UPDATE}",
            "the step that ends an episode is not learned from",
        ),
        (
            _UPDATE,
            f"if not terminated:\n                {_UPDATE}",
            "the update comes before the loop is left",
        ),
    ],
    "end_has_no_future": [
        ("reward if terminated else ", "", "terminal case is missing"),
        (_TARGET, "target = reward if truncated else", "have changed places"),
        (_TARGET, "target = reward if not terminated else", "the wrong way round"),
    ],
    "time_limit_is_no_end": [
        (_TARGET, "target = reward if terminated or truncated else", "a time limit is not an end"),
        (
            _TARGET,
            "target = reward if terminated or len(steps) == max_steps - 1 else",
            "the last step before max_steps is taken for terminated",
        ),
        (f"gamma * {_MAX}", _MAX, "gamma is left out"),
        (f"reward + gamma * {_MAX}", f"gamma * (reward + {_MAX})", "except at the end"),
        (f"gamma * {_MAX}", f"0.99 * {_MAX}", "gamma is not used"),
        (f"reward + gamma * {_MAX}", f"reward - gamma * {_MAX}", "sign of gamma"),
        (f" + gamma * {_MAX}", "", "only the reward counts"),
        (_MAX, "np.argmax(table[next_state])", "argmax is the number of the best action"),
        (
            "",
            _short(
                ("reward if terminated else reward +", "total if terminated else total +"),
                ("            total += reward\n", ""),
                ("            target =", "            total += reward\n            target ="),
            ),
            "the total reward of the episode",
        ),
        (
            _UPDATE,
            "if terminated or truncated or len(steps) == max_steps - 1:\n"
            f"                {_UPDATE}",
            "only the last step of an episode",
        ),
    ],
    "update_follows_bellman": [
        (_MAX, "np.max(table[state])", "state that was left"),
        (_MAX, "np.min(table[next_state])", "minimum"),
        (_MAX, "np.mean(table[next_state])", "mean"),
        (_MAX, "np.sum(table[next_state])", "sum"),
        (_MAX, "np.max(table)", "the maximum of the whole table"),
        (_MAX, "table[next_state, action]", "column of the old action"),
        ("state, done = next_state, ", "done = ", "state = next_state is missing"),
        (
            "",
            f"""{_HEAD}    table, history = {_ZEROS}, []

    def choose(state, epsilon):
        explores = rng.random() < epsilon
        return int({_RANDOM}) if explores else {_BEST}

    for n in range(n_episodes):
        epsilon = min_epsilon + (max_epsilon - min_epsilon) * np.exp(-epsilon_decay * n)
        (state, _), steps, done = env.reset(), [], False
        action = choose(state, epsilon)
        while not done and len(steps) < max_steps:
            after, reward, terminated, truncated, _ = env.step(action)
            following = choose(after, epsilon)
            future = 0.0 if terminated else table[after, following]
            table[state, action] += alpha * (reward + gamma * future - table[state, action])
            steps.append(reward)
            state, action, done = after, following, terminated or truncated
        history.append(Episode(epsilon, steps))
    return table, history
""",
            "that is SARSA",
        ),
    ],
    "epsilon_decays": [
        (_FORMULA, _FORMULA.replace(" * n_over", ""), "falls only once"),
        (_FORMULA, _FORMULA.replace("n_over", "(n_over + 1)"), "1 after the first"),
        (
            _FORMULA,
            "max_epsilon - (max_epsilon - min_epsilon) * np.exp(-epsilon_decay * n_over)",
            "max_epsilon and min_epsilon have changed",
        ),
        ("n_over = episode + 1", "n_over = episode", "n is 1"),
        ("    epsilon = max_epsilon\n", "    epsilon = 1.0\n", "it starts at max_epsilon"),
        (
            "            # 4. ",
            "            epsilon = min_epsilon + (max_epsilon - min_epsilon) * np.exp(\n"
            "                -epsilon_decay * (episode + 1)\n            )\n            # 4. ",
            "reduce it after the episode",
        ),
        (
            _APPEND,
            f"        played, epsilon = epsilon, {_FORMULA.replace('n_over', '(episode + 1)')}\n"
            + _APPEND,
            "append the Episode before epsilon is reduced",
        ),
        (_EXP, "1.0", "it never changes"),
        (_EXP, "np.exp(epsilon_decay * n_over)", "must be negative"),
        (_EXP, "np.exp(-0.01 * n_over)", "another epsilon_decay changes no epsilon"),
        (_FORMULA, f"max_epsilon * {_EXP}", "min_epsilon is left out"),
        (_FORMULA, f"max(min_epsilon, max_epsilon * {_EXP})", "the part above min_epsilon"),
        (_FORMULA, f"min_epsilon + max_epsilon * {_EXP}", "max_epsilon - min_epsilon is what"),
        (_FORMULA, "max(min_epsilon, max_epsilon - epsilon_decay * n_over)", "is linear"),
        (_FORMULA, f"min_epsilon + (epsilon - min_epsilon) * {_EXP}", "by all n episodes again"),
        (_FORMULA, "epsilon * (1 - epsilon_decay)", "not 1 - decay"),
        (
            "",
            _short(
                ("    history = []\n", "    history, n_steps = [], 0\n"),
                ("-epsilon_decay * n)", "-epsilon_decay * n_steps)"),
                ("            total +=", "            n_steps += 1\n            total +="),
            ),
            "at each step, not once an episode",
        ),
    ],
    "random_actions_at_epsilon_one": [
        (_EXPLORES, "rng.random() > epsilon", "wrong way round"),
        (_RESET, f"{_RESET}        rng = np.random.default_rng(0)\n", "the same 500 actions"),
        (
            _RANDOM,
            "np.random.default_rng(0).integers(env.action_space.n)",
            "yields the same number each time",
        ),
        (
            "",
            _short(
                ("        while", "        env.action_space.seed(0)\n        while"),
                ("int(rng.integers(n_actions))", "env.action_space.sample()"),
            ),
            "the same 500 actions",
        ),
        (f"int({_RANDOM})", "round(rng.random() * (env.action_space.n - 1))", "random is 0.25"),
        (_RANDOM, "rng.integers(max(1, env.action_space.n - 1))", "action 3 is not among them"),
    ],
    "best_actions_at_epsilon_zero": [
        (_BEST, "int(np.argmin(table[state]))", "that is the worst"),
        (_BEST, "0", "or always the same action"),
        (_MAX, f"max(0, {_MAX})", "whether values rise or fall"),
        (_UPDATE, f"if epsilon > 0:\n                {_UPDATE}", "or the best"),
        (_BEST, "int(np.argmax(table))", "not of the whole table"),
        (_BEST, f"int({_RANDOM})", "take np.argmax(table[state])"),
        (
            "",
            _short(
                (
                    "env.reset(), [], 0.0, False",
                    "env.reset(), [], 0.0, False\n        first = state",
                ),
                ("np.argmax(table[state])", "np.argmax(table[first])"),
            ),
            "the best of the first state of the episode",
        ),
        (
            "",
            _short(
                ("        while", "        seen = []\n        while"),
                (
                    _SHORT_UPDATE,
                    "            seen.append((state, action, reward, after, terminated))\n",
                ),
                (
                    "        history.append",
                    "        for state, action, reward, after, terminated in seen:\n"
                    f"{_SHORT_UPDATE}        history.append",
                ),
            ),
            "update the table at each step",
        ),
    ],
    "rng_decides": [
        (_EXPLORES, "(rng := np.random.default_rng()).random() < epsilon", "without a seed"),
        (_RESET, f"{_RESET}        rng = np.random.default_rng(episode)\n", "two calls with"),
        (
            "    history = []\n",
            "    history, rng = [], np.random.default_rng(0)\n",
            "two calls with different generators",
        ),
        (
            "",
            _short(
                ("    history = []\n", "    np.random.seed(0)\n    history = []\n"),
                ("rng.random()", "np.random.random()"),
                ("rng.integers(n_actions)", "np.random.randint(n_actions)"),
            ),
            "two calls with different generators",
        ),
    ],
    "epsilon_is_used": [
        (_EXPLORES, "rng.random() < max_epsilon", "that decides"),
        (_EXPLORES, "rng.random() < min_epsilon", "that decides"),
        (_APPEND, _APPEND.replace("steps", "steps[-50:]"), "whose `steps` have the lengths {50}"),
        (_EXPLORES, "epsilon > 0.5", "whole episodes are random or not"),
        (
            "",
            _short(
                ("        while", "        dice = np.random.default_rng(0)\n        while"),
                ("rng.random() < epsilon", "dice.random() < epsilon"),
            ),
            "the same random numbers decide in each",
        ),
        (
            "",
            _short(
                ("            explores = rng.random() < epsilon\n", ""),
                ("        while", "        explores = rng.random() < epsilon\n        while"),
            ),
            "draw rng.random() at each step",
        ),
    ],
}

_DECAY = "min_epsilon + (max_epsilon - min_epsilon) * np.exp(-epsilon_decay * n)"

#: style -> definitions that follow the solution, and replace its own
STYLES: dict[str, str] = {
    # recursive, a dict of rows, random ties, NumPy's global generator, steps are rewards
    "unusual": f"""{_HEAD}    rows = {{}}  # of the states that were seen

    def row_of(state):
        return rows.setdefault(int(state), [0.0] * int(env.action_space.n))

    def choose(state, epsilon):
        if np.random.random() < epsilon:
            return env.action_space.sample()
        row = row_of(state)
        return int(np.random.choice([a for a, q in enumerate(row) if q == max(row)]))

    def play(state, epsilon, steps):
        if len(steps) == max_steps:
            return steps
        action = choose(state, epsilon)
        after, reward, terminated, truncated, _ = env.step(action)
        row = row_of(state)
        future = 0.0 if terminated else max(row_of(after))
        row[action] = (1 - alpha) * row[action] + alpha * (reward + gamma * future)
        steps = [*steps, reward]
        return steps if terminated or truncated else play(after, epsilon, steps)

    epsilons = min_epsilon + (max_epsilon - min_epsilon) * np.exp(
        -epsilon_decay * np.arange(n_episodes)
    )
    history = [Episode(epsilon, play(env.reset()[0], epsilon, [])) for epsilon in epsilons]
    table = np.zeros((int(env.observation_space.n), int(env.action_space.n)))
    for state, row in rows.items():
        table[state] = row
    return table, history
""",
    # lists of floats, a formula for epsilon at the start of each episode
    "lists": _short(),
    # a class does the work; the loop is a for with break, steps are counted from 1
    "class": f"""
class Learner:
    def __init__(self, env, alpha, gamma, rng):
        self.env, self.alpha, self.gamma, self.rng = env, alpha, gamma, rng
        self.q = np.zeros((env.observation_space.n, env.action_space.n), dtype=np.float32)

    def act(self, state, epsilon):
        if self.rng.uniform() >= epsilon:
            return self.q[state].argmax()  # a NumPy integer
        return self.rng.choice(self.env.action_space.n)

    def learn(self, s, a, r, s2, terminated):
        error = r + self.gamma * self.q[s2].max() * (1 - terminated) - self.q[s, a]
        self.q[s, a] = self.q[s, a] + self.alpha * error

    def play(self, epsilon, max_steps):
        s, _ = self.env.reset()
        steps, total = [], 0
        for number in range(1, max_steps + 1):
            a = self.act(s, epsilon)
            s2, r, terminated, truncated, _ = self.env.step(a)
            self.learn(s, a, r, s2, terminated)
            total += r
            steps.append(EpisodeStep(self.env.render(), number, s2, a, r, total))
            s = s2
            if terminated or truncated:
                break
        return Episode(epsilon, tuple(steps))

{_HEAD}    learner, history = Learner(env, alpha, gamma, rng), []
    for n in range(n_episodes):
        epsilon = {_DECAY}
        history.append(learner.play(epsilon, max_steps))
    return learner.q, history
""",
    # a time limit by a wrapper, probabilities of all actions, an epsilon that is multiplied
    "probabilities": f"""
from collections import deque

from gymnasium.wrappers import TimeLimit

{_HEAD}    limited = TimeLimit(env, max_episode_steps=max_steps)
    actions = np.arange(env.action_space.n)
    table = np.full((env.observation_space.n, len(actions)), 0.0)
    history, excess = deque(), max_epsilon - min_epsilon
    while len(history) < n_episodes:
        epsilon = min_epsilon + excess
        state, info = limited.reset()
        done, steps, rewards = False, [], []
        while not done:
            p = np.full(len(actions), epsilon / len(actions))
            best = np.flatnonzero(table[state] == table[state].max())
            p[best] += (1 - epsilon) / len(best)
            action = rng.choice(actions, p=p)
            before = state
            state, reward, terminated, truncated, info = limited.step(action)
            done = terminated or truncated
            target = reward
            if not terminated:
                target += gamma * table[state].max()
            table[before, action] = alpha * target + (1 - alpha) * table[before, action]
            rewards.append(reward)
            steps.append(EpisodeStep(env.render(), len(steps), state, action, reward, sum(rewards)))
        history.append(Episode(float(epsilon), steps))
        excess *= np.exp(-epsilon_decay)
    return table, history
""",
    # Python's own generator seeded from rng, a dict with pairs as keys, a generator of steps
    "pairs": f"""
import math
import random
from collections import defaultdict
from dataclasses import dataclass


@dataclass
class Played:
    epsilon: float
    steps: list


def play(env, q, choose, alpha, gamma, most):
    n_actions, total = int(env.action_space.n), 0.0
    state, _ = env.reset()
    for number in range(most):
        action = choose(state)
        after, reward, terminated, truncated, _ = env.step(action)
        best = max(q[after, a] for a in range(n_actions))
        q[state, action] += alpha * (reward + (not terminated) * gamma * best - q[state, action])
        total = total + reward
        yield EpisodeStep(env.render(), number, after, action, reward, total)
        if terminated or truncated:
            return
        state = after

{_HEAD}    dice = random.Random(int(rng.integers(2**32)))
    q, actions = defaultdict(float), range(int(env.action_space.n))
    epsilons = [
        min_epsilon + (max_epsilon - min_epsilon) * math.exp(-epsilon_decay * n)
        for n in range(n_episodes)
    ]
    history = []
    for epsilon in epsilons:

        def choose(state, epsilon=epsilon):
            if dice.random() < epsilon:
                return dice.randrange(len(actions))
            return max(actions, key=lambda a: q[state, a])

        history.append(Played(epsilon, list(play(env, q, choose, alpha, gamma, max_steps))))
    table = [[q[s, a] for a in actions] for s in range(int(env.observation_space.n))]
    return [np.array(table), history]
""",
    # PyTorch's tensors and generator
    "torch": f"""
import torch

{_HEAD}    draws = torch.Generator().manual_seed(int(rng.integers(1000)))
    n_actions = env.action_space.n
    table, history = torch.zeros(env.observation_space.n, n_actions, dtype=torch.float64), []
    for n in range(n_episodes):
        epsilon = {_DECAY}
        state, _ = env.reset()
        steps, total, over = [], 0.0, False
        while not over and len(steps) != max_steps:
            if torch.rand(1, generator=draws).item() < epsilon:
                action = torch.randint(n_actions, (1,), generator=draws).item()
            else:
                action = table[state].argmax().item()
            after, reward, terminated, truncated, _ = env.step(action)
            future = 0 if terminated else table[after].max().item()
            table[state, action] += alpha * (reward + gamma * future - table[state, action])
            total += reward
            steps.append(EpisodeStep(env.render(), len(steps), after, action, reward, total))
            state, over = after, terminated or truncated
        history.append(Episode(epsilon, steps))
    return table.numpy(), history
""",
    # reset with seeds that come from rng, one more reset for the sizes, rewards as a dict
    "seeds from rng": f"""{_HEAD}    env.reset(seed=123)
    env.action_space.seed(int(rng.integers(2**31)))
    values = {{s: np.zeros(env.action_space.n) for s in range(env.observation_space.n)}}
    history, epsilon, n_over = [], max_epsilon, 0
    while n_over < n_episodes:
        state, _ = env.reset(seed=int(rng.integers(2**31)))
        steps = []
        while True:
            ties = np.flatnonzero(values[state] >= values[state].max())
            action = env.action_space.sample() if rng.random() < epsilon else rng.choice(ties)
            next_state, reward, terminated, truncated, _ = env.step(action)
            best_next = np.amax(values[next_state])
            if terminated:
                best_next = 0
            values[state][action] += alpha * (reward + gamma * best_next - values[state][action])
            steps.append({{"state": next_state, "reward": reward}})
            state = next_state
            if terminated or truncated or len(steps) >= max_steps:
                break
        history.append(Episode(epsilon=epsilon, steps=steps))
        n_over += 1
        epsilon = {_DECAY.replace("* n)", "* n_over)")}
    return np.stack([values[s] for s in range(len(values))]), history
""",
    # a flat table, an epsilon for all steps drawn before, functions passed around
    "flat": f"""
def bellman(q, cell, reward, future, alpha, gamma):
    q[cell] += alpha * (reward + gamma * future - q[cell])

{_HEAD}    S, A = env.observation_space.n, env.action_space.n
    q = np.zeros(S * A)
    history = []
    for n in range(n_episodes):
        eps = {_DECAY}
        explores = rng.random(max_steps) > 1 - eps
        randoms = rng.integers(A, size=max_steps)
        s, _ = env.reset()
        log, G = [], 0.0
        for t in range(max_steps):
            row = slice(s * A, (s + 1) * A)
            a = randoms[t] if explores[t] else q[row].argmax()
            s2, r, term, trunc, _ = env.step(a)
            bellman(q, s * A + a, r, 0.0 if term else q[s2 * A : (s2 + 1) * A].max(), alpha, gamma)
            G += r
            log += [EpisodeStep(env.render(), t, s2, a, r, G)]
            if term or trunc:
                break
            s = s2
        history += [Episode(eps, log)]
    return q.reshape(S, A), history
""",
    # the random number is compared with <=, the first call may seed the environment
    "first seed": _short(
        ("env.reset(), [], 0.0", "env.reset(seed=0 if n == 0 else None), [], 0.0"),
        ("rng.random() < epsilon", "rng.random() <= epsilon"),
        ("return np.array(table)", "return np.asarray(table, dtype=np.float32)"),
    ),
}
