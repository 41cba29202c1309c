"""Mistakes and other right styles of exercise 1, ``q_learning``."""

from __future__ import annotations

#: property that must find it -> (right, wrong, part of the message), see Mistake
MISTAKES: dict[str, list[tuple[str, str, str]]] = {
    "table_starts_at_zero": [
        (
            "np.zeros((env.observation_space.n, env.action_space.n))",
            "np.zeros((env.action_space.n, env.observation_space.n))",
            "rows are states",
        ),
        (
            "np.zeros((env.observation_space.n, env.action_space.n))",
            "np.zeros((env.observation_space.n, env.action_space.n), dtype=int)",
            "values are fractions",
        ),
        ("np.zeros((env.observation_space.n,", "np.ones((env.observation_space.n,", "not 0"),
    ],
    "last_step_is_worth_its_reward": [
        ("(target - table[state, action])", "(table[state, action] - target)", "sign is wrong"),
        ("alpha * (target - table[", "(target - table[", "alpha is missing"),
        ("(target - table[state, action])", "target", "must be subtracted"),
        ("rng.integers(env.action_space.n)", "rng.integers(2)", "not in 0..0"),
    ],
    "end_has_no_future": [
        ("reward if terminated else ", "", "terminal case is missing"),
    ],
    "time_limit_is_no_end": [
        (
            "target = reward if terminated else",
            "target = reward if terminated or truncated else",
            "a time limit is no end",
        ),
        ("gamma * np.max(table[next", "np.max(table[next", "gamma is left out"),
        ("reward + gamma * np.max", "reward - gamma * np.max", "sign of gamma"),
    ],
    "update_follows_bellman": [
        ("np.max(table[next_state])", "np.max(table[state])", "state that was left"),
        ("np.max(table[next_state])", "np.min(table[next_state])", "minimum"),
        ("np.max(table[next_state])", "np.mean(table[next_state])", "mean"),
        ("np.max(table[next_state])", "table[next_state, action]", "column of the old action"),
    ],
    "epsilon_decays": [
        ("n_over = episode + 1", "n_over = episode", "off by one"),
        (
            "    epsilon = max_epsilon\n    for",
            "    epsilon = min_epsilon + (max_epsilon - min_epsilon) * np.exp(-epsilon_decay)\n"
            "    for",
            "episode 0 should be played with epsilon 0.9",
        ),
        ("np.exp(-epsilon_decay * n_over)", "1.0", "it never changes"),
    ],
    "random_actions_at_epsilon_one": [
        ("rng.random() < epsilon", "rng.random() > epsilon", "wrong way round"),
        (
            "= env.reset()\n        steps",
            "= env.reset()\n        rng = np.random.default_rng(0)\n        steps",
            "the same 500 actions",
        ),
    ],
    "best_actions_at_epsilon_zero": [
        ("int(np.argmax(table[state]))", "int(np.argmin(table[state]))", "the best"),
    ],
    "episodes_begin_and_end": [
        ("next_state, terminated or truncated", "next_state, truncated", "after the"),
        (" and len(steps) < max_steps", "", "max_steps must end it"),
    ],
    "epsilon_is_used": [
        ("rng.random() < epsilon", "rng.random() < max_epsilon", "that decides"),
        ("rng.random() < epsilon", "rng.random() < min_epsilon", "that decides"),
    ],
    "taxi_is_learned": [
        ("= env.reset()\n        steps", "= env.reset(seed=0)\n        steps", "no seed"),
    ],
}

#: style -> definitions that follow the solution, and replace its own
STYLES: dict[str, str] = {
    "unusual": """
def q_learning(
    env, *, n_episodes, max_steps, max_epsilon, min_epsilon, epsilon_decay, alpha, gamma, rng
):
    rows = {}  # of the states that were seen

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
}
