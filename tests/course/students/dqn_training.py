"""Mistakes and other right styles of exercise 2b, ``dqn_training``."""

from __future__ import annotations

_FILL = "fill_memory(env, memory, prefill, max_steps, rng)"
_BATCH = "                batch = sample_batch(memory, batch_size, rng)\n"
_UPDATE = "                dqn_update(q_net, target_net, optimizer, batch, gamma, loss_function)\n"
_LEARN = f"            if total_steps % update_every == 0:\n{_BATCH}{_UPDATE}"
_COPY_WEIGHTS = "                target_net.load_state_dict(q_net.state_dict())\n"
_COPY = "            if total_steps % copy_every == 0:\n" + _COPY_WEIGHTS
_RESET = "        state, _ = env.reset()\n        score, steps, done"
_COUNT = "            score, steps, total_steps = score + reward, steps + 1, total_steps + 1\n"
_DECAY = "            epsilon = max(min_epsilon, epsilon - epsilon_decay)\n"
_STEP = "            next_state, reward, terminated, truncated, _ = env.step(action)\n"
_APPEND = (
    "            memory.append(Transition(state, action, reward, next_state, float(terminated)))\n"
)
_NEXT = "            state, done = next_state, terminated or truncated\n"
_REMEMBER = _STEP + _APPEND + _NEXT
_GREEDY = "int(q_net(torch.as_tensor(state)[None]).argmax())"
_EXPLORE = "rng.random() < epsilon"
_RANDOM = "action = int(rng.integers(env.action_space.n))\n            else"
_WINDOW = "[*(game.score for game in games), score][-window:]"
_GAME = "Game(number, steps, total_steps, first_epsilon, seconds, score, average)"
_STOP = (
    "        if stop_at is not None and len(games) >= window and average >= stop_at:\n"
    "            break\n"
)
_START = "    games, total_steps = [], 0\n"


def _in_remember(old: str, new: str) -> tuple[str, str]:
    """Return the lesson's lines 5 of the loop, and these with something replaced."""
    return _REMEMBER, _REMEMBER.replace(old, new)


#: property that must find it -> (right, wrong, part of the message), see Mistake
MISTAKES: dict[str, list[tuple[str, str, str]]] = {
    "arguments_reach_the_update": [
        ("range(n_episodes):\n        began", "range(20):\n        began", "n_episodes is 4, 20"),
        (_BATCH, _BATCH.replace("batch_size", "1"), "one transition is not a batch"),
        (_BATCH, _BATCH.replace("batch_size", "64"), "has 64 transitions, batch_size is 12"),
        (_UPDATE, _UPDATE.replace("q_net, target_net", "target_net, q_net"), "swapped"),
        (_UPDATE, _UPDATE.replace("target_net", "q_net"), "target_net is q_net itself"),
        (_UPDATE, _UPDATE.replace("gamma", "0.99"), "got gamma=0.99"),
        (_UPDATE, _UPDATE.replace("loss_function", "torch.nn.MSELoss()"), "as its loss"),
        (
            _START,
            "    optimizer = torch.optim.Adam(q_net.parameters(), lr=0.001)\n" + _START,
            "another optimizer",
        ),
        (
            _START,
            "    import copy\n    q_net = copy.deepcopy(q_net)\n" + _START,
            "another network than the q_net",
        ),
        (_COPY_WEIGHTS, "                target_net = q_net\n", "target_net is q_net itself"),
        (
            _COPY_WEIGHTS,
            "                q_net.load_state_dict(target_net.state_dict())\n",
            "q_net has lost what it learned",
        ),
        (_LEARN, _LEARN.replace(_UPDATE, ""), "dqn_update was never called"),
        (
            _UPDATE,
            f"                with torch.no_grad():\n    {_UPDATE}",
            "inside torch.no_grad()",
        ),
        (
            _UPDATE,
            _UPDATE.replace("batch,", "batch._replace(rewards=batch.rewards[:, None]),"),
            "makes (B, B) in the update",
        ),
        (_GREEDY, "q_net(torch.as_tensor(state)[None]).argmax()", "env.step got tensor("),
        (
            f"{_STOP}    return games\n",
            f"{_STOP}",
            "is `return games` missing",
        ),
        (
            f"{_STOP}    return games\n",
            f"{_STOP}    return [game.score for game in games]\n",
            "has no number `number`",
        ),
        (
            "        report(games[-1])\n",
            "        report(number, score)\n",
            "report got 2 arguments",
        ),
    ],
    "a_second_training_starts_over": [
        (
            _BATCH,
            _BATCH.replace("rng)", "np.random.default_rng(total_steps))"),
            "different rng have the same batches",
        ),
        (
            _DECAY,
            (
                "            global T\n            T = globals().get('T', 0) + 1\n"
                "            epsilon = max(min_epsilon, max_epsilon - epsilon_decay * T)\n"
            ),
            "a counter of steps or epsilon survives",
        ),
        (
            "    memory = deque(maxlen=memory_size)\n",
            "    memory = globals().setdefault('M', deque(maxlen=memory_size))\n",
            "the replay buffer of the first one survives",
        ),
        (
            _START,
            "    games, total_steps = globals().setdefault('G', []), 0\n",
            "the list of games of the first one",
        ),
        (_START, f"{_START}    rng = np.random.default_rng(0)\n", "a fixed seed"),
        (_START, f"{_START}    rng = np.random.default_rng()\n", "two trainings with the same rng"),
    ],
    "memory_is_filled_first": [
        (
            _COUNT,
            "            score, steps = score + reward, steps + 1\n        total_steps += steps\n",
            "is total_steps raised in each step",
        ),
        (
            "total_steps % update_every",
            "len(memory) % update_every",
            "as soon as the replay buffer is full",
        ),
        (_FILL, _FILL.replace("prefill", "1"), "must be filled with 30"),
        (
            _FILL,
            "pass",
            "must be filled with 30",
        ),
        (
            "total_steps % update_every",
            "steps % update_every",
            "the steps of each game are counted",
        ),
        ("total_steps % update_every == 0", "True", "update_every is ignored"),
        (_LEARN, f"{_LEARN}{_UPDATE}", "more than one update at a time"),
        (
            _LEARN,
            _LEARN.replace("if ", "if (terminated or truncated) and ").replace(
                "total_steps % update_every == 0", "True"
            ),
            "only at the ends of games",
        ),
    ],
    "games_are_played_whole": [
        (" and steps < max_steps:", ":", "must end it"),
        ("steps < max_steps", "steps <= max_steps", "one step too many"),
        (_FILL, _FILL.replace("max_steps", "500"), "pass max_steps on"),
        (_RESET, _RESET.replace("reset()", "reset(seed=0)"), "env.reset(seed=0)"),
        (
            _RESET,
            _RESET.replace("env.reset()", "(env.reset() if number == 0 else (state, 0))"),
            "was called before a reset",
        ),
    ],
    "games_are_reported": [
        (_COUNT, _COUNT.replace("score + reward", "score + 1"), "that is the number of steps"),
        (_COUNT, _COUNT.replace("score + reward", "reward"), "that is the last reward only"),
        (
            "score, steps, done = 0.0, 0",
            "score, steps, done = (games[-1].score if games else 0.0), 0",
            "it continues from game to game",
        ),
        (
            _COUNT,
            _COUNT.replace("score + reward", "score + gamma**steps * reward"),
            "rewards are discounted",
        ),
        (_START, _START.replace("0\n", "prefill\n"), "that fill the replay buffer do not count"),
        (_GAME, _GAME.replace("number", "number + 1"), "the first game is 0"),
        (_WINDOW, _WINDOW.replace("[-window:]", ""), "mean of all games"),
        (_WINDOW, _WINDOW.replace("[-window:]", "[-10:]"), "mean of 10 games"),
        (f"np.mean({_WINDOW})", f"np.sum({_WINDOW}) / window", "divide by their number"),
        ("np.mean([*(g", "np.max([*(g", "that is the best of the last 5"),
        ("        report(games[-1])\n", "", "report was called 0 times"),
        (
            f"        report(games[-1])\n{_STOP}",
            f"{_STOP}    for game in games:\n        report(game)\n",
            "report was not called when a game was over",
        ),
        ("report(games[-1])", "report(games[0])", "the game that is just over"),
    ],
    "memory_holds_what_happened": [
        (*_in_remember("next_state, float", "state, float"), "next_state is the old state"),
        (
            _APPEND + _NEXT,
            _NEXT + _APPEND,
            "both are the state after the step",
        ),
        (*_in_remember("state, done = next_state, t", "done = t"), "state must become next_state"),
        (*_in_remember("(terminated)", "(terminated or truncated)"), "the clock cut it off"),
        (
            *_in_remember("(terminated)", "(terminated or steps + 1 == max_steps)"),
            "max_steps cut it off",
        ),
        (*_in_remember("float(terminated)", "1.0 - terminated"), "not its opposite"),
        (*_in_remember("float(terminated)", "0.0"), "the game ended there"),
        (*_in_remember("action, reward, n", "action, np.sign(reward), n"), "not from its sign"),
        (
            *_in_remember("action, reward, n", "action, score + reward, n"),
            "the score of the game so far",
        ),
        (
            *_in_remember("(state, action", "(state, int(rng.integers(3))"),
            "of a step with action",
        ),
    ],
    "batches_are_random": [
        (
            "    memory = deque(maxlen=memory_size)\n",
            "    memory = deque()\n",
            "forgets the oldest",
        ),
        (
            _BATCH,
            "                batch = sample_batch(list(memory)[-batch_size:], batch_size, rng)\n",
            "only the newest are sampled",
        ),
        (
            *_in_remember(_APPEND, f"            if total_steps % 2:\n    {_APPEND}"),
            "append the transition of each step",
        ),
        (
            *_in_remember(_APPEND, f"            if not terminated:\n    {_APPEND}"),
            "those that end a game",
        ),
        (
            _BATCH,
            "                if total_steps == 0:\n                    old = list(memory)\n"
            + _BATCH.replace("memory", "old"),
            "append each new one",
        ),
        (
            _BATCH,
            f"                if total_steps == 0:\n    {_BATCH}",
            "the same batch was learned from",
        ),
        (
            _BATCH,
            _BATCH.replace("rng", "np.random.default_rng(0)"),
            "their random numbers repeat",
        ),
        (
            _BATCH,
            "                i = int(rng.integers(len(memory) - batch_size + 1))\n"
            "                rows = zip(*list(memory)[i : i + batch_size], strict=True)\n"
            "                fields = [torch.as_tensor(np.array(field)) for field in rows]\n"
            "                batch = Batch(*fields)\n",
            "are neighbours",
        ),
    ],
    "sizes_are_arguments": [
        (_RANDOM, _RANDOM.replace("env.action_space.n", "2"), "never chose [2, 3, 4]"),
        (
            _REMEMBER,
            f"{_STEP}            next_state = np.asarray(next_state).reshape(len(names))\n"
            + _APPEND
            + _NEXT,
            "your code raised ValueError",
        ),
    ],
    "epsilon_falls_per_step": [
        ("    epsilon = max_epsilon\n", "    epsilon = 1.0\n", "got 1.0000"),
        (
            "    epsilon = max_epsilon\n",
            "    epsilon = max_epsilon - epsilon_decay\n",
            "off by one: it has fallen a step too far",
        ),
        (
            "    epsilon = max_epsilon\n",
            "    epsilon = max(min_epsilon, max_epsilon - epsilon_decay * prefill)\n",
            "the steps that fill the replay buffer do not count",
        ),
        (_DECAY + _COUNT, _COUNT + _DECAY[4:], "once a game, not once a step"),
        (
            _DECAY,
            _DECAY.replace("max(min_epsilon, epsilon - epsilon_decay)", "epsilon - epsilon_decay"),
            "it falls below",
        ),
        (_DECAY, "", "it never falls"),
        (
            _DECAY,
            "            epsilon = max(min_epsilon, epsilon * (1 - epsilon_decay))\n",
            "by a factor",
        ),
        (_GAME, _GAME.replace("first_epsilon", "epsilon"), "that is epsilon after the game"),
        (
            _DECAY,
            f"            if total_steps % update_every == 0:\n    {_DECAY}",
            "it falls with each update",
        ),
    ],
    "best_actions_at_epsilon_zero": [
        (_EXPLORE, "rng.normal() < epsilon", "uniform in 0..1"),
        (_EXPLORE, "rng.random() > epsilon", "the wrong way round"),
        (_GREEDY, _GREEDY.replace("argmax", "argmin"), "the worst (argmin)"),
        (_GREEDY, _GREEDY.replace("q_net", "target_net"), "they are those of target_net"),
        (
            _GREEDY,
            "int((old := locals().get('old') or __import__('copy').deepcopy(q_net))"
            "(torch.as_tensor(state)[None]).argmax())",
            "an old copy",
        ),
        (
            _GREEDY,
            "abs(int(q_net(torch.as_tensor(state)[None]).max()))",
            "the index of its largest value",
        ),
        (_GREEDY, "int(q_net(state).argmax())", "not with a tensor"),
        (_GREEDY, _GREEDY.replace("(state)", "(state).double()"), "its weights are float32"),
    ],
    "random_actions_at_epsilon_one": [
        (
            _RANDOM,
            "luck = (locals().get('luck') if steps else None) or np.random.default_rng(0)\n"
            "                action = int(luck.integers(env.action_space.n))\n            else",
            "is a new generator made in each game",
        ),
        (
            _RANDOM,
            _RANDOM.replace(
                "int(rng.integers(env.action_space.n))",
                "int(q_net(torch.as_tensor(state)).argmax() + rng.integers(1, env.action_space.n))"
                " % env.action_space.n",
            ),
            "the best one, too",
        ),
    ],
    "epsilon_is_used": [
        (
            "if rng.random() < epsilon:",
            "if np.random.default_rng(steps).random() < epsilon:",
            "the same steps of each game are random",
        ),
        (_EXPLORE, "rng.random() < max_epsilon", "that decides"),
        (_EXPLORE, "rng.random() < min_epsilon", "all q_net's best"),
        (
            _EXPLORE,
            "(luck := rng.random() if steps == 0 else luck) < epsilon",
            "decide in each step whether",
        ),
    ],
    "target_is_copied": [
        (_COPY, "", "0 times"),
        (_COPY, _COPY.replace("total_steps % copy_every == 0", "total_steps == 0"), "not once"),
        (_COPY, _COPY.replace("total_steps % copy", "steps % copy"), "each game are counted"),
        (_COPY, _COPY.replace("total_steps % copy_every == 0", "True"), "copy_every is ignored"),
        (
            _COPY_WEIGHTS,
            "                for old, new in zip(target_net.parameters(), q_net.parameters()):\n"
            "                    old.data.mul_(0.9).add_(0.1 * new.data)\n",
            "a mixture",
        ),
        (
            _COPY_WEIGHTS,
            "                fresh = {k: v.clone() for k, v in q_net.state_dict().items()}\n"
            "                target_net.load_state_dict(locals().get('old', fresh))\n"
            "                old = fresh\n",
            "updates old",
        ),
    ],
    "corridor_is_learned": [
        (
            _BATCH,
            f"{_BATCH}                batch = batch._replace(ended=batch.ended.bool())\n",
            "with a bool tensor is not supported",
        ),
        (
            _UPDATE,
            _UPDATE.replace("batch,", "batch._replace(states=batch.states.double()),"),
            "same dtype",
        ),
    ],
    "training_stops": [
        (_STOP, "", "or not at all"),
        (_STOP, _STOP.replace("len(games) >= window and ", ""), "wait until window games"),
        (_STOP, _STOP.replace("average >=", "score >="), "not the newest game"),
        (
            _STOP,
            _STOP.replace("average >=", "np.mean([g.score for g in games]) >="),
            "the mean of all games",
        ),
        (
            _STOP,
            _STOP.replace("average >=", "np.mean([g.score for g in games][-window + 1 :]) >="),
            "not of fewer",
        ),
    ],
}

#: The arguments of the lesson.
_SIGNATURE = """
def train_dqn(env, q_net, target_net, optimizer, *, n_episodes, max_steps, memory_size, prefill,
              batch_size, update_every, copy_every, max_epsilon, min_epsilon, epsilon_decay, gamma,
              loss_function, window, stop_at, rng, report=print):
"""

#: style -> definitions that follow the solution, and replace its own
STYLES: dict[str, str] = {
    "a ring buffer, one loop over all steps, global generators": """
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
"""
    + _SIGNATURE
    + """
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
            report(games[-1])
            if stop_at is not None and len(games) >= window and games[-1].average >= stop_at:
                break
            if len(games) < n_episodes:
                state, first, score = env.reset()[0], t, 0.0
    return games
""",
    "arrays of numpy": _SIGNATURE
    + """
    shape = env.observation_space.shape
    states, after = (np.zeros((memory_size, *shape), np.float32) for _ in range(2))
    actions, rewards = np.zeros(memory_size, np.int64), np.zeros(memory_size, np.float32)
    ended, n_stored, games, t = np.zeros(memory_size, bool), 0, [], np.int64(0)

    def store(*row):
        nonlocal n_stored
        at = n_stored % memory_size
        states[at], actions[at], rewards[at], after[at], ended[at] = row
        n_stored += 1

    while n_stored < prefill:
        state, done, steps = env.reset()[0], False, 0
        while not done and steps < max_steps and n_stored < prefill:
            action = rng.integers(env.action_space.n)
            new, reward, terminated, truncated, _ = env.step(action)
            store(state, action, reward, new, terminated)
            state, done, steps = new, terminated or truncated, steps + 1

    for number in range(n_episodes):
        state, score, began = env.reset()[0], np.float64(0), time.time()
        start = np.clip(max_epsilon - epsilon_decay * t, min_epsilon, None)
        for steps in range(1, max_steps + 1):
            epsilon = np.clip(max_epsilon - epsilon_decay * t, min_epsilon, None)
            action = rng.integers(env.action_space.n)
            if rng.uniform() >= epsilon:
                action = q_net(torch.from_numpy(state)).detach().numpy().argmax()
            new, reward, terminated, truncated, _ = env.step(action)
            store(state, action, reward, new, terminated)
            state, t, score = new, t + 1, score + reward
            if not t % update_every:
                chosen = rng.choice(min(n_stored, memory_size), batch_size, replace=False)
                fields = (states, actions, rewards, after, ended.astype(np.float32))
                batch = Batch(*(torch.from_numpy(field[chosen]) for field in fields))
                dqn_update(q_net, target_net, optimizer, batch, gamma, loss_function)
            if not t % copy_every:
                target_net.load_state_dict(q_net.state_dict())
            if terminated or truncated:
                break
        last = [game.score for game in games[::-1][: window - 1]] + [score]
        games += [Game(number, steps, t, start, time.time() - began, score, np.mean(last))]
        report(games[-1])
        if stop_at is not None and number + 1 >= window and games[-1].average >= stop_at:
            return games
    return games
""",
    "random.sample and deepcopy": """
import copy
import random
"""
    + _SIGNATURE
    + """
    buffer, games, total = deque([], memory_size), [], 0
    fill_memory(env, buffer, prefill, max_steps, rng)
    epsilon = max_epsilon
    for number in range(n_episodes):
        state, _ = env.reset()
        steps, score, start = 0, 0, epsilon
        for _ in range(max_steps):
            if random.random() <= epsilon:
                action = env.action_space.sample()
            else:
                with torch.inference_mode():
                    values = q_net(torch.tensor(state).unsqueeze(0))
                action = torch.argmax(values, dim=1).item()
            next_state, reward, terminated, truncated, _ = env.step(action)
            buffer.append(Transition(state, action, reward, next_state, terminated))
            state, score, steps, total = next_state, score + reward, steps + 1, total + 1
            if total % update_every == 0:
                rows = random.sample(buffer, batch_size)
                states, actions, rewards, next_states, ended = map(np.array, zip(*rows))
                batch = Batch(
                    torch.tensor(states),
                    torch.tensor(actions),
                    torch.tensor(rewards).float(),
                    torch.tensor(next_states),
                    torch.tensor(ended).float(),
                )
                dqn_update(
                    q_net=q_net, target_net=target_net, optimizer=optimizer, batch=batch,
                    gamma=gamma, loss_function=loss_function,
                )
            if total % copy_every == 0:
                target_net = copy.deepcopy(q_net)
            epsilon = max(epsilon - epsilon_decay, min_epsilon)
            if terminated or truncated:
                break
        scores = [game.score for game in games] + [score]
        average = sum(scores[-window:]) / len(scores[-window:])
        games.append(Game(number, steps, total, start, 0, score, average))
        report(games[-1])
        if stop_at is not None and len(games) >= window and average > stop_at:
            break
    return games
""",
    "a class": """
class Agent:
    def __init__(self, env, q_net, target_net, optimizer, options):
        self.env, self.q_net, self.target_net, self.optimizer = env, q_net, target_net, optimizer
        self.options, self.total, self.games = options, 0, []
        self.memory = deque(maxlen=options["memory_size"])

    @property
    def epsilon(self):
        fallen = self.options["max_epsilon"] - self.total * self.options["epsilon_decay"]
        return max(self.options["min_epsilon"], fallen)

    def act(self, state):
        if self.options["rng"].random() < self.epsilon:
            return int(self.options["rng"].choice(self.env.action_space.n))
        with torch.no_grad():
            return int(self.q_net(torch.FloatTensor(state)[None, :]).squeeze(0).topk(1).indices)

    def learn(self):
        if self.total % self.options["update_every"] == 0:
            batch = sample_batch(self.memory, self.options["batch_size"], self.options["rng"])
            dqn_update(self.q_net, self.target_net, self.optimizer, batch, self.options["gamma"],
                       self.options["loss_function"])
        if self.total % self.options["copy_every"] == 0:
            self.target_net.load_state_dict(self.q_net.state_dict())

    def play(self):
        state, epsilon, score, steps, over = self.env.reset()[0], self.epsilon, 0.0, 0, False
        while not (over or steps == self.options["max_steps"]):
            self.learn()
            action = self.act(state)
            after, reward, terminated, truncated, _ = self.env.step(action)
            self.memory.append(Transition(state, action, reward, after, float(terminated)))
            state, over = after, terminated | truncated
            score, steps, self.total = score + reward, steps + 1, self.total + 1
        window = ([game.score for game in self.games] + [score])[-self.options["window"] :]
        return Game(len(self.games), steps, self.total, epsilon, 0.0, score, np.mean(window))

    def is_good(self):
        aim, window = self.options["stop_at"], self.options["window"]
        return aim is not None and len(self.games) >= window and self.games[-1].average >= aim


def train_dqn(env, q_net, target_net, optimizer, *, report=lambda game: None, **options):
    agent = Agent(env, q_net, target_net, optimizer, options)
    fill_memory(env, agent.memory, options["prefill"], options["max_steps"], options["rng"])
    target_net.load_state_dict(q_net.state_dict())
    while len(agent.games) < options["n_episodes"] and not agent.is_good():
        agent.games.append(agent.play())
        report(agent.games[-1])
    return agent.games
""",
    "counters that run down, a list": _SIGNATURE
    + """
    memory, games, steps_so_far, epsilon = [], [], 0, max_epsilon
    to_update, to_copy = update_every, copy_every
    fill_memory(env, memory, prefill, max_steps, rng)
    memory = memory[-memory_size:]
    for number in range(n_episodes):
        state, info = env.reset()
        rewards, first_epsilon = [], epsilon
        while True:
            explore = rng.binomial(1, epsilon)
            values = q_net(torch.as_tensor(state)).tolist()
            greedy = max(range(env.action_space.n), key=values.__getitem__)
            action = int(rng.integers(env.action_space.n)) if explore else greedy
            next_state, reward, terminated, truncated, info = env.step(action)
            rewards.append(reward)
            memory.append((state.copy(), action, reward, next_state.copy(), int(terminated)))
            if len(memory) > memory_size:
                del memory[0]
            state = next_state
            to_update, to_copy = to_update - 1, to_copy - 1
            if to_copy == 0:
                target_net.load_state_dict(q_net.state_dict())
                to_copy = copy_every
            if to_update == 0:
                dqn_update(q_net, target_net, optimizer, sample_batch(memory, batch_size, rng),
                           gamma, loss_function)
                to_update = update_every
            epsilon -= epsilon_decay
            epsilon = epsilon if epsilon > min_epsilon else min_epsilon
            if terminated or truncated or len(rewards) >= max_steps:
                break
        steps_so_far += len(rewards)
        score = sum(rewards)
        recent = ([game.score for game in games] + [score])[-window:]
        full = len(games) + 1 >= window
        games.append(Game(number, len(rewards), steps_so_far, first_epsilon, 0.0, score,
                          float(np.mean(recent)) if full else float("nan")))
        report(games[-1])
        if stop_at is not None and full and games[-1].average >= stop_at:
            break
    return games
""",
    "tensors in the replay buffer": _SIGNATURE
    + """
    memory, games, total = deque(maxlen=memory_size), [], 0
    fill_memory(env, memory, prefill, max_steps, rng)
    memory = deque([tuple(torch.as_tensor(x) for x in row) for row in memory], maxlen=memory_size)
    for number in range(n_episodes):
        start = max(min_epsilon, max_epsilon - total * epsilon_decay)
        state = torch.as_tensor(env.reset()[0])
        score, steps, over = 0.0, 0, False
        while steps < max_steps and not over:
            values = q_net(state.unsqueeze(0)).detach()
            if rng.random() < max(min_epsilon, max_epsilon - total * epsilon_decay):
                values = torch.as_tensor(rng.random(values.shape))
            action = values.argmax(1)[0]
            found, reward, terminated, truncated, _ = env.step(int(action))
            found = torch.as_tensor(found)
            memory.append((state, action, torch.tensor(reward), found, torch.tensor(terminated)))
            state, score, over = found, score + reward, terminated or truncated
            steps, total = steps + 1, total + 1
            if total % update_every == 0:
                chosen = [memory[i] for i in rng.choice(len(memory), batch_size)]
                states, actions, rewards, after, ended = map(torch.stack, zip(*chosen))
                batch = Batch(states, actions, rewards.float(), after, ended.float())
                dqn_update(q_net, target_net, optimizer, batch, gamma, loss_function)
            if total % copy_every == 0:
                for name, weights in q_net.state_dict().items():
                    target_net.state_dict()[name].copy_(weights)
        average = np.mean([score, *[game.score for game in games[::-1]]][:window])
        games.append(Game(number, steps, total, start, 0.0, score, average))
        report(game=games[-1]) if report is print else report(games[-1])
        if stop_at is not None and len(games) >= window and average >= stop_at:
            break
    return games
""",
    "the next action is chosen at the end of the step": """
def choose(q_net, state, epsilon, n_actions, rng):
    if rng.random() < epsilon:
        return rng.integers(n_actions)
    with torch.no_grad():
        return np.argmax(q_net(torch.from_numpy(np.stack([state]))).numpy()[0])


def epsilons(highest, lowest, decay):
    while True:
        yield highest
        highest = max(lowest, highest - decay)
"""
    + _SIGNATURE
    + """
    n_actions = int(env.action_space.n)
    memory, games, total = deque(maxlen=memory_size), [], 0
    fill_memory(env, memory, prefill, max_steps, rng)
    falling = epsilons(max_epsilon, min_epsilon, epsilon_decay)
    epsilon = next(falling)
    for number in range(n_episodes):
        start, score, state = epsilon, 0.0, env.reset()[0]
        action = choose(q_net, state, epsilon, n_actions, rng)
        for steps in range(1, max_steps + 1):
            if total % update_every == 0:
                batch = sample_batch(memory, batch_size, rng)
                dqn_update(q_net, target_net, optimizer, batch, gamma, loss_function)
            after, reward, terminated, truncated, _ = env.step(action)
            memory.append(Transition(state, action, reward, after, float(terminated)))
            state, epsilon, total, score = after, next(falling), total + 1, score + reward
            if total % copy_every == 0:
                target_net.load_state_dict(q_net.state_dict())
            if terminated or truncated:
                break
            action = choose(q_net, state, epsilon, n_actions, rng)
        average = np.mean([game.score for game in games[1 - window :]][-window + 1 :] + [score])
        games.append(Game(number, steps, total, start, 0.0, score, average))
        report(games[-1])
        if stop_at is not None and len(games) >= window and average >= stop_at:
            break
    return games
""",
    "own update, own kinds of games": """
from dataclasses import dataclass


@dataclass
class Game:
    number: int
    steps: int
    total_steps: int
    epsilon: float
    seconds: float
    score: float
    average: float = 0.0


def dqn_update(net, target, opt, batch, discount, loss_fn, max_norm=10.0):
    states, actions, rewards, after, ended = batch
    with torch.no_grad():
        goal = rewards + discount * (1 - ended) * target(after).amax(1)
    loss = loss_fn(net(states)[torch.arange(len(actions)), actions], goal)
    opt.zero_grad()
    loss.backward()
    nn.utils.clip_grad_norm_(net.parameters(), max_norm)
    opt.step()
    return float(loss)


learn = dqn_update
"""
    + _SIGNATURE
    + """
    memory, games = {}, []

    def remember(*row):
        memory[len(memory) if len(memory) < memory_size else n_seen() % memory_size] = row

    def n_seen():
        return prefill + total

    first = deque()
    total = -prefill
    fill_memory(env, first, prefill, max_steps, rng)
    for row in first:
        remember(*row)
        total += 1

    def play(number, epsilon):
        nonlocal total
        state, game = env.reset()[0], Game(number, 0, total, epsilon, 0.0, 0.0)
        done = False
        while not done and game.steps < max_steps:
            is_random = rng.random() < max(min_epsilon, max_epsilon - total * epsilon_decay)
            best = q_net(torch.tensor([state.tolist()])).argmax()
            action = int(rng.integers(env.action_space.n) if is_random else best)
            after, reward, terminated, truncated, _ = env.step(action)
            remember(state, action, reward, after, float(terminated))
            state, done, total = after, terminated or truncated, total + 1
            game.steps, game.total_steps, game.score = game.steps + 1, total, game.score + reward
            if total % update_every == 0:
                fields = zip(*(memory[int(i)] for i in rng.integers(len(memory), size=batch_size)))
                s, a, r, n, e = (torch.as_tensor(np.array(field)) for field in fields)
                batch = s, a, r.float(), n, e.float()
                learn(q_net, target_net, optimizer, batch, gamma, loss_function)
            if total % copy_every == 0:
                target_net.load_state_dict(q_net.state_dict())
        return game

    for number in range(n_episodes):
        games.append(play(number, max(min_epsilon, max_epsilon - total * epsilon_decay)))
        games[-1].average = np.mean([game.score for game in games[-window:]])
        report(games[-1])
        if stop_at is not None and len(games) >= window and games[-1].average >= stop_at:
            break
    return games
""",
}
