"""Mistakes and other right styles of exercise 2b, ``dqn_training``."""

from __future__ import annotations

_COPY = """            if total_steps % copy_every == 0:
                target_net.load_state_dict(q_net.state_dict())
"""
_COUNT = "            score, steps, total_steps = score + reward, steps + 1, total_steps + 1\n"
_DECAY = "            epsilon = max(min_epsilon, epsilon - epsilon_decay)\n"

#: property that must find it -> (right, wrong, part of the message), see Mistake
MISTAKES: dict[str, list[tuple[str, str, str]]] = {
    "memory_is_filled_first": [
        (
            "    fill_memory(env, memory, prefill, max_steps, rng)\n",
            "    fill_memory(env, memory, 1, max_steps, rng)\n",
            "must be filled with 30",
        ),
        ("total_steps % update_every", "steps % update_every", "through all games"),
        (
            "= sample_batch(memory, batch_size, rng)",
            "= sample_batch(memory, 1, rng)",
            "a batch has 1 transitions",
        ),
    ],
    "target_is_copied": [
        (_COPY, "", "0 times"),
        (
            "                target_net.load_state_dict(q_net.state_dict())\n",
            "                target_net = q_net\n",
            "is q_net itself",
        ),
        ("total_steps % copy_every", "steps % copy_every", "target_net is due"),
    ],
    "epsilon_falls_per_step": [
        ("    epsilon = max_epsilon\n", "    epsilon = 1.0\n", "got 1.0000"),
        (
            "    epsilon = max_epsilon\n",
            "    epsilon = max_epsilon - epsilon_decay\n",
            "off by one: it has fallen a step too far",
        ),
        (_DECAY + _COUNT, _COUNT + _DECAY[4:], "once a game, not once a step"),
        ("max(min_epsilon, epsilon - epsilon_decay)", "epsilon - epsilon_decay", "below"),
        (
            _DECAY,
            (
                "            global T\n            T = globals().get('T', 0) + 1\n"
                "            epsilon = max(min_epsilon, max_epsilon - epsilon_decay * T)\n"
            ),
            "should be played with epsilon",
        ),
    ],
    "best_actions_at_epsilon_zero": [
        ("rng.random() < epsilon", "rng.random() > epsilon", "epsilon 0"),
        ("[None]).argmax()", "[None]).argmin()", "not q_net's best"),
        (
            "int(q_net(torch.as_tensor(state)",
            "int(target_net(torch.as_tensor(state)",
            "not q_net's best",
        ),
    ],
    "memory_holds_what_happened": [
        (
            "state, action, reward, next_state, float(terminated)))\n            state, done",
            "state, action, reward, state, float(terminated)))\n            state, done",
            "next_state is the old state",
        ),
        (
            "float(terminated)))\n            state, done",
            "float(terminated or truncated)))\n            state, done",
            "the clock cut it off",
        ),
        ("state, done = next_state, t", "done = t", "become next_state"),
        ("deque(maxlen=memory_size)", "deque()", "with maxlen"),
    ],
    "epsilon_is_used": [
        ("rng.random() < epsilon", "rng.random() < max_epsilon", "that decides"),
        ("rng.random() < epsilon", "rng.random() < min_epsilon", "all q_net's best"),
    ],
    "training_stops": [
        ("float(np.mean([*(g", "float(np.max([*(g", "but"),
    ],
    "games_are_played_whole": [
        ("total_steps = score + reward,", "total_steps = score + 1,", "Game.score says"),
        ("while not done and steps < max_steps:", "while not done:", "must end it"),
    ],
    "random_actions_at_epsilon_one": [
        (
            "int(rng.integers(env.action_space.n))\n            else",
            "int(rng.integers(2))\n            else",
            "the shares",
        ),
    ],
}

#: style -> definitions that follow the solution, and replace its own
STYLES: dict[str, str] = {
    "unusual": """
class Ring:
    def __init__(self, size):
        self.size, self.rows, self.n = size, [], 0

    def append(self, row):
        if self.n < self.size:
            self.rows.append(row)
        else:
            self.rows[self.n % self.size] = row
        self.n += 1

    def __len__(self):
        return len(self.rows)

    def __getitem__(self, i):
        return self.rows[i]


def train_dqn(env, q_net, target_net, optimizer, *, n_episodes, max_steps, memory_size, prefill,
              batch_size, update_every, copy_every, max_epsilon, min_epsilon, epsilon_decay, gamma,
              loss_function, window, stop_at, rng, report=print):
    ring, games, t = Ring(memory_size), [], 0
    fill_memory(env, ring, prefill, max_steps, rng)
    state, first, score = env.reset()[0], 0, 0.0
    while len(games) < n_episodes:
        epsilon = max(min_epsilon, max_epsilon - epsilon_decay * t)
        if np.random.rand() < epsilon:
            action = env.action_space.sample()
        else:
            values = q_net(torch.tensor(np.array([state]), dtype=torch.float32))
            action = values[0].max(dim=0).indices.item()
        after, reward, terminated, truncated, _ = env.step(action)
        ring.append((state, action, reward, after, float(terminated)))
        state, score, t = after, score + reward, t + 1
        if t % update_every == 0:
            batch = sample_batch(ring, batch_size, rng)
            dqn_update(q_net, target_net, optimizer, batch, gamma, loss_function)
        if t % copy_every == 0:
            with torch.no_grad():
                for ours, theirs in zip(target_net.parameters(), q_net.parameters()):
                    ours.copy_(theirs)
        if terminated or truncated or t - first == max_steps:
            last = [*(game.score for game in games), score][-window:]
            begun = max(min_epsilon, max_epsilon - epsilon_decay * first)
            games.append(Game(len(games), t - first, t, begun, 0.0, score, sum(last) / len(last)))
            if stop_at is not None and len(games) >= window and games[-1].average >= stop_at:
                break
            if len(games) < n_episodes:
                state, first, score = env.reset()[0], t, 0.0
    return games
""",
}
