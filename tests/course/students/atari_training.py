"""Mistakes and other right styles of exercise 4, ``atari_training``."""

from __future__ import annotations

_FILL = "fill_atari_memory(env, memory, prefill, max_steps, crop, shape, n_stack, rng)"
_NEW_STACK = """        stack = stack_pictures(preprocess(screen, crop, shape), n_stack=n_stack)
        score"""
_EXPLORE = "if rng.random() < epsilon:"
_RANDOM = "action = int(rng.integers(env.action_space.n))\n            else"
_GREEDY = "int(q_net(torch.as_tensor(stack)[None] / 255).argmax())"
_STEP = "            screen, reward, terminated, truncated, _ = env.step(action)\n"
_PUSH = "            next_stack = stack_pictures(preprocess(screen, crop, shape), stack)\n"
_APPEND = (
    "            memory.append("
    "Transition(stack, action, np.sign(reward), next_stack, float(terminated)))\n"
)
_NEXT = "            stack, done = next_stack, terminated or truncated\n"
_REMEMBER = _PUSH + _APPEND + _NEXT
_BATCH = "                batch = sample_batch(memory, batch_size, rng)\n"
_UPDATE = "                atari_update(q_net, target_net, optimizer, batch, gamma)\n"
_LEARN = f"            if total_steps % update_every == 0:\n{_BATCH}{_UPDATE}"
_COPY_WEIGHTS = "                target_net.load_state_dict(q_net.state_dict())\n"
_COPY = "            if total_steps % copy_every == 0:\n" + _COPY_WEIGHTS
_DECAY = "            epsilon = max(min_epsilon, epsilon - epsilon_decay)\n"
_COUNT = "            score, steps, total_steps = score + reward, steps + 1, total_steps + 1\n"
_START = "    epsilon, games, total_steps = max_epsilon, [], 0\n"
_STOP = (
    "        if stop_at is not None and len(games) >= window and average >= stop_at:\n"
    "            break\n"
)


def _in_remember(old: str, new: str) -> tuple[str, str]:
    """Return the lines that push, remember and continue, and these with something replaced."""
    assert old in _REMEMBER
    return _REMEMBER, _REMEMBER.replace(old, new)


#: property that must find it -> (right, wrong, part of the message), see Mistake
MISTAKES: dict[str, list[tuple[str, str, str]]] = {
    "arguments_reach_the_update": [
        (
            _UPDATE,
            _UPDATE.replace("gamma", "gamma, nn.functional.smooth_l1_loss"),
            "other arguments than it has",
        ),
        (_BATCH, _BATCH.replace("batch_size", "32"), "has 32 transitions, batch_size is 12"),
        (_UPDATE, _UPDATE.replace("q_net, target_net", "target_net, q_net"), "swapped"),
        (_UPDATE, _UPDATE.replace("gamma", "0.99"), "got gamma=0.99"),
        (
            _START,
            f"{_START}    optimizer = torch.optim.Adam(q_net.parameters(), lr=0.00025)\n",
            "another optimizer",
        ),
        (
            _COPY_WEIGHTS,
            "                q_net.load_state_dict(target_net.state_dict())\n",
            "q_net has lost what it learned",
        ),
        (_GREEDY, _GREEDY.replace("[None]", ""), "without a batch axis"),
        (_GREEDY, _GREEDY.replace(" / 255", ""), "divide the bytes by 255"),
        (_GREEDY, _GREEDY.replace(" / 255", ".float()"), "divide the bytes by 255"),
        (_GREEDY, _GREEDY.replace("stack)[None]", "stack[-1:])[None]"), "a network got the shape"),
        (_GREEDY, _GREEDY.replace("int(", "("), "env.step got tensor("),
        (*_in_remember("(stack, action", "(stack / 255, action"), "keep bytes"),
        (
            _BATCH,
            f"{_BATCH}                batch = batch._replace(rewards=batch.rewards.to("
            "torch.uint8))\n",
            "cannot hold -1",
        ),
        (f"{_STOP}    return games\n", _STOP, "is `return games` missing"),
        (f"{_STOP}    return games\n", f"{_STOP}    return games, q_net\n", "has no number"),
        (_LEARN, "", "atari_update was never called"),
    ],
    "a_second_training_starts_over": [
        (
            "    memory = deque(maxlen=memory_size)\n",
            "    memory = globals().setdefault('M', deque(maxlen=memory_size))\n",
            "the replay buffer of the first one survives",
        ),
        (
            _START,
            "    global T\n    T = globals().get('T', 0)\n"
            + _START.replace("= max_e", "= -T + max_e").replace("0\n", "0\n    T += 0.01\n"),
            "a counter of steps or epsilon survives",
        ),
        (_START, f"{_START}    rng = np.random.default_rng(0)\n", "a fixed seed"),
    ],
    "memory_is_filled_first": [
        (
            "total_steps % update_every",
            "len(memory) % update_every",
            "as soon as the replay buffer is full",
        ),
        (_FILL, _FILL.replace("prefill", "2000"), "the first update came after 2001 steps"),
        (_LEARN, _LEARN.replace("total_steps %", "steps %"), "the steps of each game are counted"),
    ],
    "games_are_played_whole": [
        (" and steps < max_steps:", ":", "must end it"),
        (
            "env.reset()\n        stack = stack_pictures(preprocess(screen, crop, shape), n_stack="
            "n_stack)\n        score",
            f"env.reset(seed=0)\n{_NEW_STACK}",
            "env.reset(seed=0)",
        ),
    ],
    "games_are_reported": [
        (_COUNT, _COUNT.replace("+ reward", "+ np.sign(reward)"), "the rewards are clipped"),
        ("        report(games[-1])\n", "", "report was called 0 times"),
        ("score][-window:]", "score][-100:]", "mean of all games"),
    ],
    "memory_holds_what_happened": [
        (*_in_remember("next_stack, float", "stack, float"), "next_state is the old state"),
        (_REMEMBER, _PUSH + _NEXT + _APPEND, "both are the state after the step"),
        (
            *_in_remember(
                _PUSH,
                "            next_stack = stack\n            stack[:-1] = stack[1:].copy()\n"
                "            stack[-1] = preprocess(screen, crop, shape)\n",
            ),
            "the array is changed in place",
        ),
        (
            *_in_remember("stack, done = next_stack, t", "done = t"),
            "state must become next_state",
        ),
        (
            _NEW_STACK,
            _NEW_STACK.replace(", n_stack=n_stack)", ", stack if number else None)"),
            "frames of the game before",
        ),
        (
            _NEW_STACK,
            _NEW_STACK.replace(
                "stack_pictures(preprocess(screen, crop, shape), n_stack=n_stack)",
                "np.stack([preprocess(screen, crop, shape) * (i == 3) for i in range(4)])",
            ),
            "black frames",
        ),
        (
            *_in_remember(
                _PUSH,
                "            next_stack = np.concatenate("
                "[preprocess(screen, crop, shape)[None], stack[:-1]])\n",
            ),
            "the newest frame comes first",
        ),
        (
            *_in_remember(_PUSH, _PUSH.replace("stack)", "n_stack=n_stack)")),
            "the same frame again and again",
        ),
        (
            *_in_remember(_PUSH, _PUSH.replace(", stack)", ", stack if steps % 2 else None)")),
            "without its oldest frame",
        ),
        (*_in_remember("np.sign(reward)", "reward"), "the agent learns from its sign"),
        (
            *_in_remember("np.sign(reward)", "np.int8(np.sign(reward)).view(np.uint8)"),
            "becomes 255",
        ),
        (
            *_in_remember("np.sign(reward)", "float(reward > 0)"),
            "store what env.step returned, its sign",
        ),
        (*_in_remember("(terminated)", "(terminated or truncated)"), "the clock cut it off"),
    ],
    "batches_are_random": [
        (
            "    memory = deque(maxlen=memory_size)\n",
            "    memory = deque(maxlen=10_000)\n",
            "forgets the oldest",
        ),
        (
            *_in_remember(_APPEND, f"            if total_steps % 2:\n    {_APPEND}"),
            "append the transition of each step",
        ),
        (_BATCH, _BATCH.replace("rng", "np.random.default_rng(0)"), "their random numbers repeat"),
    ],
    "sizes_are_arguments": [
        (_RANDOM, _RANDOM.replace("env.action_space.n", "3"), "never chose [3, 4]"),
        (_NEW_STACK, _NEW_STACK.replace("n_stack=n_stack", "n_stack=4"), "with other sizes"),
        (
            *_in_remember("crop, shape", "(30, 195, 5, 155), shape"),
            "crop each screen by the argument",
        ),
        (*_in_remember("crop, shape", "crop, (84, 84)"), "with other sizes"),
    ],
    "epsilon_falls_per_step": [
        (_DECAY, "", "it never falls"),
        (_START, _START.replace("max_epsilon", "1.0"), "got 1.0000"),
    ],
    "best_actions_at_epsilon_zero": [
        (_EXPLORE, _EXPLORE.replace("<", ">"), "the wrong way round"),
        (_GREEDY, _GREEDY.replace("q_net", "target_net"), "they are those of target_net"),
    ],
    "random_actions_at_epsilon_one": [
        (_RANDOM, _RANDOM.replace("rng.integers(env.action_space.n)", "1"), "the shares"),
    ],
    "epsilon_is_used": [
        (_EXPLORE, _EXPLORE.replace("epsilon", "max_epsilon"), "that decides"),
    ],
    "target_is_copied": [
        (_COPY, _COPY.replace("% copy_every == 0", "== copy_every"), "not once"),
        (_COPY, _COPY.replace("total_steps % copy_every == 0", "total_steps == 0"), "not once"),
        (_COPY, "", "0 times"),
    ],
    "training_stops": [
        (_STOP, _STOP.replace("len(games) >= window and ", ""), "wait until window games"),
        (_STOP, _STOP.replace("average >=", "score >="), "not the newest game"),
    ],
    "real_network_is_trained": [
        (
            _BATCH,
            f"{_BATCH}                batch = batch._replace(ended=batch.ended.bool())\n",
            "with a bool tensor is not supported",
        ),
    ],
}

#: The arguments of the lesson.
_SIGNATURE = """
def train_atari(env, q_net, target_net, optimizer, *, n_episodes, max_steps, memory_size, prefill,
                batch_size, update_every, copy_every, max_epsilon, min_epsilon, epsilon_decay,
                gamma, crop, shape, n_stack, window, stop_at, rng, report=lambda game: None):
"""

#: What follows a game in most styles.
_AFTER = """
        scores = [*(game.score for game in games), score][-window:]
        games.append(Game(number, steps, total, start, 0.0, score, sum(scores) / len(scores)))
        report(games[-1])
        if stop_at is not None and len(games) >= window and games[-1].average >= stop_at:
            break
    return games
"""

#: style -> definitions that follow the solution, and replace its own
STYLES: dict[str, str] = {
    "frames are stored once": """
class Frames:
    def __init__(self, size, n_stack):
        self.rows, self.n_stack = deque(maxlen=size), n_stack

    def __len__(self):
        return len(self.rows)

    def append(self, frames, at, action, reward, ended):
        self.rows.append((frames, at, action, reward, ended))

    def stack(self, frames, at):
        return np.stack([frames[max(0, at - age)] for age in reversed(range(self.n_stack))])

    def sample(self, size, rng):
        rows = [self.rows[i] for i in rng.integers(len(self.rows), size=size)]
        return Batch(
            torch.as_tensor(np.stack([self.stack(row[0], row[1]) for row in rows])),
            torch.as_tensor([row[2] for row in rows]),
            torch.as_tensor([row[3] for row in rows], dtype=torch.float32),
            torch.as_tensor(np.stack([self.stack(row[0], row[1] + 1) for row in rows])),
            torch.as_tensor([row[4] for row in rows], dtype=torch.float32),
        )
"""
    + _SIGNATURE
    + """
    memory, games, total = Frames(memory_size, n_stack), [], 0

    def play(n_steps, choose, after_step):
        frames = [preprocess(env.reset()[0], crop, shape)]
        rewards = []
        while len(rewards) < n_steps:
            action = choose(memory.stack(frames, len(frames) - 1))
            screen, reward, terminated, truncated, _ = env.step(action)
            frames.append(preprocess(screen, crop, shape))
            rewards.append(reward)
            sign = 1.0 if reward > 0 else -1.0 if reward < 0 else 0.0
            memory.append(frames, len(frames) - 2, action, sign, float(terminated))
            after_step()
            if terminated or truncated:
                break
        return rewards

    def epsilon():
        return max(min_epsilon, max_epsilon - epsilon_decay * total)

    def explore(stack):
        return int(rng.integers(env.action_space.n))

    def act(stack):
        if rng.random() < epsilon():
            return explore(stack)
        with torch.no_grad():
            return int(q_net(torch.as_tensor(stack).unsqueeze(0).float() / 255.0).argmax(1))

    def learn():
        nonlocal total
        total += 1
        if total % update_every == 0:
            atari_update(q_net, target_net, optimizer, memory.sample(batch_size, rng), gamma)
        if total % copy_every == 0:
            target_net.load_state_dict(q_net.state_dict())

    while len(memory) < prefill:
        play(min(max_steps, prefill - len(memory)), explore, lambda: None)
    for number in range(n_episodes):
        start = epsilon()
        rewards = play(max_steps, act, learn)
        steps, score = len(rewards), sum(rewards)
"""
    + _AFTER,
    "a deque of frames, bytes in arrays": _SIGNATURE
    + """
    buffer, games, total = deque(maxlen=memory_size), [], 0
    fill_atari_memory(env, buffer, prefill, max_steps, crop, shape, n_stack, rng)
    for number in range(n_episodes):
        first = preprocess(env.reset()[0], crop=crop, shape=shape)
        frames = deque([first] * n_stack, maxlen=n_stack)
        score = steps = 0
        start = max(min_epsilon, max_epsilon - epsilon_decay * total)
        for steps in range(1, max_steps + 1):
            state = np.array(frames)
            epsilon = max(min_epsilon, max_epsilon - epsilon_decay * total)
            if np.random.uniform() < epsilon:
                action = env.action_space.sample()
            else:
                x = torch.from_numpy(state.astype(np.float32) / 255).unsqueeze(0)
                action = q_net(x).max(1)[1].item()
            screen, reward, terminated, truncated, _ = env.step(action)
            frames.append(preprocess(screen, crop, shape))
            clipped = np.clip(reward, -1, 1)
            buffer.append((state, action, clipped, np.array(frames), terminated))
            score, total = score + reward, total + 1
            if total % update_every == 0 and len(buffer) >= batch_size:
                atari_update(q_net, target_net, optimizer, sample_batch(buffer, batch_size, rng),
                             gamma)
            if total % copy_every == 0:
                target_net.load_state_dict(q_net.state_dict())
            if terminated or truncated:
                break
"""
    + _AFTER,
    "arrays of numpy, int8 rewards": _SIGNATURE
    + """
    states = np.zeros((memory_size, n_stack, *shape), np.uint8)
    after = np.zeros_like(states)
    actions, rewards = np.zeros(memory_size, np.int64), np.zeros(memory_size, np.int8)
    ended, filled, games, total, epsilon = np.zeros(memory_size), 0, [], 0, max_epsilon
    first = []
    fill_atari_memory(env, first, prefill, max_steps, crop, shape, n_stack, rng)

    def store(row):
        nonlocal filled
        i = filled % memory_size
        states[i], actions[i], rewards[i], after[i], ended[i] = row
        filled += 1

    for row in first:
        store(row)
    for number in range(n_episodes):
        screen, _ = env.reset()
        stack = np.repeat(preprocess(screen, crop, shape)[None], n_stack, axis=0)
        score, steps, start, done = 0.0, 0, epsilon, False
        while not done:
            best = q_net(torch.tensor(stack[np.newaxis], dtype=torch.float32).div(255)).argmax()
            action = rng.integers(env.action_space.n) if rng.random() < epsilon else best.item()
            screen, reward, terminated, truncated, _ = env.step(action)
            new = np.roll(stack, -1, axis=0)
            new[-1] = preprocess(screen, crop, shape)
            store((stack, action, np.sign(reward), new, terminated))
            stack, score, steps, total = new, score + reward, steps + 1, total + 1
            done = terminated or truncated or steps == max_steps
            if total % update_every == 0:
                rows = rng.integers(min(filled, memory_size), size=batch_size)
                s, a, r, n, e = (x[rows] for x in (states, actions, rewards, after, ended))
                batch = Batch(torch.tensor(s), torch.tensor(a), torch.tensor(r).float(),
                              torch.tensor(n), torch.tensor(e).float())
                atari_update(q_net, target_net, optimizer, batch=batch, gamma=gamma)
            if total % copy_every == 0:
                target_net.load_state_dict(q_net.state_dict())
            epsilon = max(min_epsilon, epsilon - epsilon_decay)
"""
    + _AFTER,
    "a stack in place, copied when remembered": _SIGNATURE
    + """
    memory, games, total = deque(maxlen=memory_size), [], 0
    fill_atari_memory(env, memory, prefill, max_steps, crop, shape, n_stack, rng)
    stack = np.empty((n_stack, *shape), np.uint8)
    for number in range(n_episodes):
        stack[:] = preprocess(env.reset()[0], crop, shape)
        score, steps = 0.0, 0
        start = max(min_epsilon, max_epsilon - total * epsilon_decay)
        while steps < max_steps:
            if total % update_every == 0:
                batch = sample_batch(memory, batch_size, rng)
                atari_update(q_net, target_net, optimizer, batch, gamma)
            if total % copy_every == 0:
                target_net.load_state_dict(q_net.state_dict())
            epsilon = max(min_epsilon, max_epsilon - total * epsilon_decay)
            with torch.no_grad():
                values = q_net(torch.as_tensor(stack / 255, dtype=torch.float32)[None])[0]
            action = int(values.argmax() if rng.random() >= epsilon else rng.integers(len(values)))
            before = stack.copy()
            screen, reward, terminated, truncated, _ = env.step(action)
            stack[:-1] = stack[1:].copy()
            stack[-1] = preprocess(screen, crop, shape)
            memory.append(
                Transition(before, action, float(np.sign(reward)), stack.copy(), int(terminated))
            )
            score, steps, total = score + reward, steps + 1, total + 1
            if terminated or truncated:
                break
"""
    + _AFTER,
    "a wrapper of the environment": """
class Stacked:
    def __init__(self, env, crop, shape, n_stack):
        self.env, self.crop, self.shape, self.n_stack = env, crop, shape, n_stack
        self.action_space = env.action_space

    def reset(self):
        self.stack = stack_pictures(self.look(self.env.reset()[0]), n_stack=self.n_stack)
        return self.stack, {}

    def look(self, screen):
        return preprocess(screen, self.crop, self.shape)

    def step(self, action):
        screen, reward, terminated, truncated, info = self.env.step(action)
        self.stack = stack_pictures(self.look(screen), self.stack)
        return self.stack, reward, terminated, truncated, info


class Signs(deque):
    def append(self, row):
        super().append(row._replace(reward=np.sign(row.reward)))


def fill(env, memory, n, max_steps, rng):
    while n > 0:
        state, done, steps = env.reset()[0], False, 0
        while not done and n > 0 and steps < max_steps:
            action = int(rng.integers(env.action_space.n))
            after, reward, terminated, truncated, _ = env.step(action)
            memory.append(Transition(state, action, reward, after, float(terminated)))
            state, done, n, steps = after, terminated or truncated, n - 1, steps + 1
"""
    + _SIGNATURE
    + """
    env, memory = Stacked(env, crop, shape, n_stack), Signs(maxlen=memory_size)
    fill(env, memory, prefill, max_steps, rng)
    games, total, epsilon = [], 0, max_epsilon
    for number in range(n_episodes):
        (state, _), start, score, steps, done = env.reset(), epsilon, 0.0, 0, False
        while not done and steps < max_steps:
            action = int(rng.integers(env.action_space.n))
            if rng.random() > epsilon:
                action = int(q_net(torch.as_tensor(state / 255).float()[None]).argmax())
            after, reward, terminated, truncated, _ = env.step(action)
            memory.append(Transition(state, action, reward, after, float(terminated)))
            state, done, score = after, terminated or truncated, score + reward
            steps, total = steps + 1, total + 1
            if total % update_every == 0:
                batch = sample_batch(memory, batch_size, rng)
                atari_update(q_net, target_net, optimizer, batch, gamma)
            if total % copy_every == 0:
                target_net.load_state_dict(q_net.state_dict())
            epsilon = max(min_epsilon, epsilon - epsilon_decay)
"""
    + _AFTER,
    "tensors of bytes, random.sample": """
import random
"""
    + _SIGNATURE
    + """
    memory, games, total = deque(maxlen=memory_size), [], 0
    fill_atari_memory(env, memory, prefill, max_steps, crop, shape, n_stack, rng)
    memory = deque([tuple(torch.as_tensor(x) for x in row) for row in memory], memory_size)

    def see(screen):
        return torch.from_numpy(preprocess(screen, crop, shape).copy())

    for number in range(n_episodes):
        stack = see(env.reset()[0]).expand(n_stack, -1, -1)
        start, score, steps, over = max(min_epsilon, max_epsilon - total * epsilon_decay), 0, 0, 0
        while not over and steps < max_steps:
            if random.random() < max(min_epsilon, max_epsilon - total * epsilon_decay):
                action = random.randrange(env.action_space.n)
            else:
                action = q_net(stack.float().div(255).unsqueeze(0)).argmax().item()
            screen, reward, terminated, truncated, _ = env.step(action)
            after = torch.cat([stack[1:], see(screen)[None]])
            row = stack, action, np.sign(reward), after, float(terminated)
            memory.append(tuple(torch.as_tensor(x) for x in row))
            stack, score, over = after, score + reward, terminated or truncated
            steps, total = steps + 1, total + 1
            if total % update_every == 0:
                fields = [torch.stack(x) for x in zip(*random.sample(list(memory), batch_size))]
                states, actions, rewards, next_states, ended = fields
                batch = Batch(states, actions, rewards.float(), next_states, ended.float())
                atari_update(q_net, target_net, optimizer, batch, gamma)
            if total % copy_every == 0:
                target_net.load_state_dict(q_net.state_dict())
"""
    + _AFTER,
    "own kind of preprocessing, keywords": """
from PIL import Image


def shrink(screen, crop, shape):
    top, bottom, left, right = crop
    image = Image.fromarray(screen[top:bottom, left:right]).convert("L")
    return np.array(image.resize((shape[1], shape[0]), Image.Resampling.BOX))
"""
    + _SIGNATURE
    + """
    memory, games, total = deque(maxlen=memory_size), [], 0
    fill_atari_memory(env=env, memory=memory, n_transitions=prefill, max_steps=max_steps,
                      crop=crop, shape=shape, n_stack=n_stack, rng=rng)
    number = -1
    while (number := number + 1) < n_episodes:
        screen, info = env.reset()
        stack = np.stack(n_stack * [shrink(screen, crop, shape)])
        epsilon = start = max(min_epsilon, max_epsilon - total * epsilon_decay)
        score, steps, terminated, truncated = 0.0, 0, False, False
        while not (terminated or truncated or steps >= max_steps):
            if rng.choice([True, False], p=[epsilon, 1 - epsilon]):
                action = rng.integers(env.action_space.n)
            else:
                action = np.argmax(q_net(torch.Tensor(stack)[None] / 255).detach().numpy())
            screen, reward, terminated, truncated, info = env.step(action)
            after = np.append(stack[1:], shrink(screen, crop, shape)[None], axis=0)
            memory += [Transition(stack, action, np.sign(reward), after, 1.0 * terminated)]
            stack, score = after, score + reward
            if total % update_every == update_every - 1:
                batch = sample_batch(memory=memory, batch_size=batch_size, rng=rng)
                atari_update(q_net=q_net, target_net=target_net, optimizer=optimizer, batch=batch,
                             gamma=gamma)
            if total % copy_every == copy_every - 1:
                target_net.load_state_dict(q_net.state_dict())
            steps, total = steps + 1, total + 1
            epsilon = max(min_epsilon, max_epsilon - total * epsilon_decay)
"""
    + _AFTER,
    "all options in a dict": """
class Counter:
    def __init__(self, every):
        self.every, self.n = every, 0

    def is_due(self):
        self.n += 1
        return self.n % self.every == 0


def train_atari(env, q_net, target_net, optimizer, **o):
    look = lambda screen: preprocess(screen, o["crop"], o["shape"])
    memory, games, total = deque(maxlen=o["memory_size"]), [], 0
    fill_atari_memory(env, memory, o["prefill"], o["max_steps"], o["crop"], o["shape"],
                      o["n_stack"], o["rng"])
    update, copy, epsilon = Counter(o["update_every"]), Counter(o["copy_every"]), o["max_epsilon"]
    while len(games) < o["n_episodes"]:
        stack = stack_pictures(look(env.reset()[0]), None, o["n_stack"])
        start, rewards, over = epsilon, [], False
        while not over:
            values = q_net(torch.as_tensor(stack, dtype=torch.float32)[None, ...] / 255)
            options = [int(torch.argmax(values)), int(o["rng"].integers(env.action_space.n))]
            action = options[o["rng"].random() < epsilon]
            screen, reward, terminated, truncated, _ = env.step(action)
            after = stack_pictures(look(screen), stack)
            memory.append(Transition(stack, action, np.sign(reward), after, float(terminated)))
            stack, total = after, total + 1
            rewards.append(reward)
            over = terminated or truncated or len(rewards) == o["max_steps"]
            if update.is_due():
                atari_update(q_net, target_net, optimizer,
                             sample_batch(memory, o["batch_size"], o["rng"]), o["gamma"])
            if copy.is_due():
                target_net.load_state_dict(q_net.state_dict())
            epsilon = max(o["min_epsilon"], epsilon - o["epsilon_decay"])
        score = float(np.sum(rewards))
        average = np.mean(([game.score for game in games] + [score])[-o["window"] :])
        games.append(Game(len(games), len(rewards), total, start, 0.0, score, average))
        o.get("report", print)(games[-1])
        enough = o["stop_at"] is not None and len(games) >= o["window"]
        if enough and average >= o["stop_at"]:
            return games
    return games
""",
}
