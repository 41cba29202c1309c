"""Correct solutions in quite another style than the lessons'."""

from __future__ import annotations

#: exercise -> code that takes the place of the lesson's, defined after it
UNUSUAL = {
    "q_learning": """
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
    "dqn_update": """
def dqn_update(q_net, target_net, optimizer, batch, gamma, loss_function):
    best_next = target_net(batch.next_states).detach().amax(1)
    y = torch.where(batch.ended > 0, batch.rewards, batch.rewards + gamma * best_next)
    taken = nn.functional.one_hot(batch.actions, q_net(batch.states).shape[1])
    loss = loss_function((q_net(batch.states) * taken).sum(1), y)
    loss.backward()
    optimizer.step()
    optimizer.zero_grad()
    return float(loss.detach())
""",
    "dqn_training": """
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
    "build_cnn": """
class Network(nn.Module):
    def __init__(self, n_actions, n_stack):
        super().__init__()
        self.out = nn.Linear(512, n_actions)  # made first: the order of making says nothing
        self.hidden = nn.Linear(7 * 7 * 64, 512)
        self.c = nn.Conv2d(64, 64, (3, 3))
        self.b = nn.Conv2d(32, 64, (4, 4), (2, 2))
        self.a = nn.Conv2d(n_stack, 32, (8, 8), (4, 4))

    def forward(self, x):
        for layer in (self.a, self.b, self.c):
            x = layer(x).clamp(min=0)
        return self.out(torch.relu(self.hidden(x.reshape(len(x), -1))))


def build_cnn(n_actions, n_stack=4):
    return Network(n_actions, n_stack)
""",
}
