"""Mistakes that students make, planted in the solutions, and the words that must name them."""

from __future__ import annotations

from typing import NamedTuple


class Mistake(NamedTuple):
    """A solution with one mistake.

    :param exercise: which.
    :param found_by: the property that must find it.
    :param right: what stands in the solution, once.
    :param wrong: what stands there instead.
    :param words: part of the message.
    """

    exercise: str
    found_by: str
    right: str
    wrong: str
    words: str


_TARGET = "target = reward if terminated else reward + gamma * np.max(table[next_state])"
_BEST = "best_next = target_net(batch.next_states).max(dim=1).values"
_TARGETS = "targets = batch.rewards + gamma * (1 - batch.ended) * best_next"
_COPY = """            if total_steps % copy_every == 0:
                target_net.load_state_dict(q_net.state_dict())
"""
_NEW_STACK = """        stack = stack_pictures(preprocess(screen, crop, shape), n_stack=n_stack)
        score"""
_PUSH = """            next_stack = stack_pictures(preprocess(screen, crop, shape), stack)
            memory.append(Transition(stack, action, np.sign(reward), next_stack, float(terminated)))
            stack, done"""
_COUNT = "            score, steps, total_steps = score + reward, steps + 1, total_steps + 1\n"
_DECAY = "            epsilon = max(min_epsilon, epsilon - epsilon_decay)\n"

MISTAKES = [
    # q_learning
    Mistake(
        "q_learning",
        "table_starts_at_zero",
        "np.zeros((env.observation_space.n, env.action_space.n))",
        "np.zeros((env.action_space.n, env.observation_space.n))",
        "rows are states",
    ),
    Mistake(
        "q_learning",
        "table_starts_at_zero",
        "np.zeros((env.observation_space.n, env.action_space.n))",
        "np.zeros((env.observation_space.n, env.action_space.n), dtype=int)",
        "values are fractions",
    ),
    Mistake(
        "q_learning",
        "table_starts_at_zero",
        "np.zeros((env.observation_space.n, env.action_space.n))",
        "np.ones((env.observation_space.n, env.action_space.n))",
        "not 0",
    ),
    Mistake(
        "q_learning",
        "last_step_is_worth_its_reward",
        "alpha * (target - table[state, action])",
        "alpha * (table[state, action] - target)",
        "the sign is wrong",
    ),
    Mistake(
        "q_learning",
        "last_step_is_worth_its_reward",
        "alpha * (target - table[",
        "(target - table[",
        "alpha is missing",
    ),
    Mistake(
        "q_learning",
        "last_step_is_worth_its_reward",
        "alpha * (target - table[state, action])",
        "alpha * target",
        "the old value must be subtracted",
    ),
    Mistake(
        "q_learning",
        "end_has_no_future",
        _TARGET,
        "target = reward + gamma * np.max(table[next_state])",
        "the terminal case is missing",
    ),
    Mistake(
        "q_learning",
        "time_limit_is_no_end",
        "target = reward if terminated else",
        "target = reward if terminated or truncated else",
        "a time limit is no end",
    ),
    Mistake(
        "q_learning",
        "time_limit_is_no_end",
        "gamma * np.max(table[next",
        "np.max(table[next",
        "gamma is left out",
    ),
    Mistake(
        "q_learning",
        "update_follows_bellman",
        "np.max(table[next_state])",
        "np.max(table[state])",
        "state that was left",
    ),
    Mistake(
        "q_learning",
        "update_follows_bellman",
        "np.max(table[next_state])",
        "np.min(table[next_state])",
        "minimum",
    ),
    Mistake(
        "q_learning",
        "update_follows_bellman",
        "np.max(table[next_state])",
        "np.mean(table[next_state])",
        "mean",
    ),
    Mistake(
        "q_learning",
        "time_limit_is_no_end",
        "reward + gamma * np.max",
        "reward - gamma * np.max",
        "sign of gamma",
    ),
    Mistake(
        "q_learning",
        "update_follows_bellman",
        "np.max(table[next_state])",
        "table[next_state, action]",
        "column of the old action",
    ),
    Mistake(
        "q_learning", "epsilon_decays", "n_over = episode + 1", "n_over = episode", "off by one"
    ),
    Mistake(
        "q_learning",
        "epsilon_decays",
        "n_over = episode + 1",
        "n_over = episode + 2",
        "episode 1 should be",
    ),
    Mistake(
        "q_learning",
        "epsilon_decays",
        "    epsilon = max_epsilon\n    for",
        "    epsilon = min_epsilon + (max_epsilon - min_epsilon) * np.exp(-epsilon_decay)\n    for",
        "episode 0 should be played with epsilon 0.9",
    ),
    Mistake(
        "q_learning", "epsilon_decays", "np.exp(-epsilon_decay * n_over)", "1.0", "it never changes"
    ),
    Mistake(
        "q_learning",
        "random_actions_at_epsilon_one",
        "rng.random() < epsilon",
        "rng.random() > epsilon",
        "wrong way round",
    ),
    Mistake(
        "q_learning",
        "best_actions_at_epsilon_zero",
        "int(np.argmax(table[state]))",
        "int(np.argmin(table[state]))",
        "the best",
    ),
    Mistake(
        "q_learning",
        "last_step_is_worth_its_reward",
        "rng.integers(env.action_space.n)",
        "rng.integers(2)",
        "not in 0..0",
    ),
    Mistake(
        "q_learning",
        "episodes_begin_and_end",
        "next_state, terminated or truncated",
        "next_state, truncated",
        "after the",
    ),
    Mistake(
        "q_learning",
        "episodes_begin_and_end",
        "while not done and len(steps) < max_steps",
        "while not done",
        "max_steps must end it",
    ),
    Mistake(
        "q_learning",
        "epsilon_is_used",
        "rng.random() < epsilon",
        "rng.random() < max_epsilon",
        "that decides",
    ),
    Mistake(
        "q_learning",
        "epsilon_is_used",
        "rng.random() < epsilon",
        "rng.random() < min_epsilon",
        "that decides",
    ),
    Mistake(
        "q_learning",
        "taxi_is_learned",
        "= env.reset()\n        steps",
        "= env.reset(seed=0)\n        steps",
        "no seed",
    ),
    Mistake(
        "q_learning",
        "random_actions_at_epsilon_one",
        "= env.reset()\n        steps",
        "= env.reset()\n        rng = np.random.default_rng(0)\n        steps",
        "the same 500 actions",
    ),
    # dqn_update
    Mistake(
        "dqn_update",
        "end_is_worth_its_reward",
        _TARGETS,
        "targets = batch.rewards + gamma * best_next",
        "terminal case is",
    ),
    Mistake(
        "dqn_update",
        "end_is_worth_its_reward",
        "(1 - batch.ended)",
        "batch.ended",
        "nothing of the next state counts",
    ),
    Mistake(
        "dqn_update",
        "target_is_bellmans",
        _BEST,
        _BEST.replace("target_net", "q_net"),
        "not of target_net",
    ),
    Mistake(
        "dqn_update",
        "target_is_bellmans",
        "target_net(batch.next_",
        "target_net(batch.",
        "state that was left",
    ),
    Mistake(
        "dqn_update",
        "target_is_bellmans",
        _BEST,
        _BEST.replace("max(dim=1).values", "mean(dim=1)"),
        "mean of the next",
    ),
    Mistake("dqn_update", "target_is_bellmans", "+ gamma * (1", "+ (1", "gamma is left out"),
    Mistake(
        "dqn_update", "target_is_bellmans", "+ gamma * (1", "- gamma * (1", "the sign of gamma"
    ),
    Mistake(
        "dqn_update",
        "target_is_bellmans",
        _BEST,
        "next_q = target_net(batch.next_states)\n"
        "        best = q_net(batch.next_states).argmax(dim=1)\n"
        "        best_next = next_q[torch.arange(len(best)), best]",
        "read at one action",
    ),
    Mistake(
        "dqn_update",
        "target_is_bellmans",
        "= batch.rewards + gamma",
        "= batch.ended * batch.rewards + gamma",
        "reward is left out",
    ),
    Mistake(
        "dqn_update",
        "value_moves_to_target",
        "    optimizer.zero_grad()\n    loss.backward()\n",
        "    loss.backward()\n    optimizer.zero_grad()\n",
        "zero_grad() stands between them",
    ),
    Mistake(
        "dqn_update",
        "value_moves_to_target",
        "    loss.backward()",
        "    (-loss).backward()",
        "sign of the loss",
    ),
    Mistake(
        "dqn_update",
        "value_moves_to_target",
        "    optimizer.step()\n",
        "",
        "optimizer.step() are missing",
    ),
    Mistake(
        "dqn_update",
        "gradients_do_not_add_up",
        "    optimizer.zero_grad()\n",
        "",
        "zero_grad() is missing",
    ),
    Mistake(
        "dqn_update",
        "every_row_counts",
        "q_net(batch.states).gather(1, batch.actions[:, None]).squeeze(1)",
        "q_net(batch.states).gather(1, batch.actions[:, None])",
        "shapes",
    ),
    Mistake(
        "dqn_update",
        "value_moves_to_target",
        "q_net(batch.states).gather(1, batch.actions[:, None]).squeeze(1)",
        "q_net(batch.states).max(dim=1).values",
        "",
    ),
    Mistake(
        "dqn_update",
        "target_network_stays",
        "    with torch.no_grad():\n        best_next",
        "    if True:\n        best_next",
        "the gradient runs into target_net",
    ),
    Mistake(
        "dqn_update",
        "end_is_worth_its_reward",
        "batch.rewards + gamma * (1 - batch.ended) * best_next",
        "(1 - batch.ended) * (batch.rewards + gamma * best_next)",
        "the reward counts all the same",
    ),
    Mistake(
        "dqn_update",
        "given_loss_is_used",
        "loss_function(predicted",
        "nn.functional.mse_loss(predicted",
        "0 times",
    ),
    Mistake(
        "dqn_update",
        "every_row_counts",
        "    loss.backward()",
        "    (loss * len(targets)).backward()",
        "the gradient of the given loss",
    ),
    Mistake(
        "dqn_update",
        "every_row_counts",
        "    optimizer.zero_grad()\n",
        "    optimizer = torch.optim.Adam(q_net.parameters(), lr=0.001)\n",
        "the given optimizer",
    ),
    Mistake(
        "dqn_update",
        "other_actions_stay",
        "q_net(batch.states).gather(1, batch.actions[:, None]).squeeze(1)",
        "q_net(batch.states)",
        "choose the taken action",
    ),
    # dqn_training
    Mistake(
        "dqn_training",
        "memory_is_filled_first",
        "    fill_memory(env, memory, prefill, max_steps, rng)\n",
        "    fill_memory(env, memory, 1, max_steps, rng)\n",
        "must be filled with 30",
    ),
    Mistake("dqn_training", "target_is_copied", _COPY, "", "0 times"),
    Mistake(
        "dqn_training",
        "target_is_copied",
        "                target_net.load_state_dict(q_net.state_dict())\n",
        "                target_net = q_net\n",
        "is q_net itself",
    ),
    Mistake(
        "dqn_training",
        "target_is_copied",
        "total_steps % copy_every",
        "steps % copy_every",
        "target_net is due",
    ),
    Mistake(
        "dqn_training",
        "memory_is_filled_first",
        "total_steps % update_every",
        "steps % update_every",
        "through all games",
    ),
    Mistake(
        "dqn_training",
        "epsilon_falls_per_step",
        "    epsilon = max_epsilon\n",
        "    epsilon = 1.0\n",
        "got 1.0000",
    ),
    Mistake(
        "dqn_training",
        "epsilon_falls_per_step",
        "    epsilon = max_epsilon\n",
        "    epsilon = max_epsilon - epsilon_decay\n",
        "off by one: it has fallen a step too far",
    ),
    Mistake(
        "dqn_training",
        "epsilon_falls_per_step",
        _DECAY + _COUNT,
        _COUNT + _DECAY[4:],
        "once a game, not once a step",
    ),
    Mistake(
        "dqn_training",
        "epsilon_falls_per_step",
        "max(min_epsilon, epsilon - epsilon_decay)",
        "epsilon - epsilon_decay",
        "below",
    ),
    Mistake(
        "dqn_training",
        "best_actions_at_epsilon_zero",
        "rng.random() < epsilon",
        "rng.random() > epsilon",
        "epsilon 0",
    ),
    Mistake(
        "dqn_training",
        "best_actions_at_epsilon_zero",
        "[None]).argmax()",
        "[None]).argmin()",
        "not q_net's best",
    ),
    Mistake(
        "dqn_training",
        "memory_holds_what_happened",
        "state, action, reward, next_state, float(terminated)))\n            state, done",
        "state, action, reward, state, float(terminated)))\n            state, done",
        "next_state is the old state",
    ),
    Mistake(
        "dqn_training",
        "memory_holds_what_happened",
        "float(terminated)))\n            state, done",
        "float(terminated or truncated)))\n            state, done",
        "the clock cut it off",
    ),
    Mistake(
        "dqn_training",
        "memory_holds_what_happened",
        "state, done = next_state, t",
        "done = t",
        "become next_state",
    ),
    Mistake(
        "dqn_training",
        "memory_holds_what_happened",
        "deque(maxlen=memory_size)",
        "deque()",
        "with maxlen",
    ),
    Mistake(
        "dqn_training",
        "epsilon_is_used",
        "rng.random() < epsilon",
        "rng.random() < max_epsilon",
        "that decides",
    ),
    Mistake(
        "dqn_training",
        "epsilon_is_used",
        "rng.random() < epsilon",
        "rng.random() < min_epsilon",
        "all q_net's best",
    ),
    Mistake("dqn_training", "training_stops", "float(np.mean([*(g", "float(np.max([*(g", "but"),
    Mistake(
        "dqn_training",
        "games_are_played_whole",
        "score, steps, total_steps = score + reward,",
        "score, steps, total_steps = score + 1,",
        "Game.score says",
    ),
    Mistake(
        "dqn_training",
        "games_are_played_whole",
        "while not done and steps < max_steps:",
        "while not done:",
        "must end it",
    ),
    Mistake(
        "dqn_training",
        "random_actions_at_epsilon_one",
        "int(rng.integers(env.action_space.n))\n            else",
        "int(rng.integers(2))\n            else",
        "the shares",
    ),
    Mistake(
        "dqn_training",
        "memory_is_filled_first",
        "= sample_batch(memory, batch_size, rng)",
        "= sample_batch(memory, 1, rng)",
        "a batch has 1 transitions",
    ),
    Mistake(
        "dqn_training",
        "epsilon_falls_per_step",
        _DECAY,
        "            global T\n            T = globals().get('T', 0) + 1\n"
        "            epsilon = max(min_epsilon, max_epsilon - epsilon_decay * T)\n",
        "should be played with epsilon",
    ),
    Mistake(
        "dqn_training",
        "best_actions_at_epsilon_zero",
        "int(q_net(torch.as_tensor(state)",
        "int(target_net(torch.as_tensor(state)",
        "not q_net's best",
    ),
    # build_cnn
    Mistake(
        "build_cnn",
        "convolutions_are_the_papers",
        "kernel_size=4, stride=2",
        "kernel_size=4, stride=1",
        "the convolutions",
    ),
    Mistake(
        "build_cnn",
        "values_for_each_action",
        "n_stack, 32, kernel",
        "4, 32, kernel",
        "your code raised",
    ),
    Mistake(
        "build_cnn",
        "layers_are_not_linear",
        "        nn.Linear(512, n_actions),\n",
        "        nn.Linear(512, n_actions),\n        nn.ReLU(),\n",
        "no ReLU, sigmoid or softmax",
    ),
    Mistake(
        "build_cnn",
        "layers_are_not_linear",
        "        nn.ReLU(),\n        nn.Flatten()",
        "        nn.Flatten()",
        "a ReLU is missing after layer 3",
    ),
    Mistake(
        "build_cnn",
        "layers_are_not_linear",
        "7, 512),\n        nn.ReLU(),\n",
        "7, 512),\n",
        "a ReLU is missing after layer 4",
    ),
    Mistake(
        "build_cnn",
        "pixels_are_taken_as_they_are",
        "return nn.Sequential(\n        nn.Conv2d(n_stack",
        "class Scale(nn.Module):\n        def forward(self, x):\n            return x / 255\n\n"
        "    return nn.Sequential(\n        Scale(),\n        nn.Conv2d(n_stack",
        "the training loop divides by 255",
    ),
    Mistake(
        "build_cnn",
        "values_for_each_action",
        "Linear(64 * 7 * 7, 512)",
        "Linear(64 * 7 * 7, 256)",
        "your code raised",
    ),
    Mistake(
        "build_cnn",
        "parameters_are_the_papers",
        "        nn.Linear(512, n_actions),\n",
        "        nn.Linear(512, 512),\n        nn.ReLU(),\n        nn.Linear(512, n_actions),\n",
        "make 1,686,180",
    ),
    Mistake(
        "build_cnn",
        "stacks_do_not_mix",
        "        nn.Flatten(),\n",
        "        nn.BatchNorm2d(64, affine=False),\n        nn.ReLU(),\n        nn.Flatten(),\n",
        "other values alone than in a batch",
    ),
    Mistake(
        "build_cnn",
        "layers_are_not_linear",
        "7, 512),\n        nn.ReLU(),\n",
        "7, 512),\n        nn.Sigmoid(),\n",
        "a ReLU is missing after layer 4",
    ),
    # atari_training
    Mistake(
        "atari_training",
        "epsilon_is_used",
        "rng.random() < epsilon",
        "rng.random() < max_epsilon",
        "that decides",
    ),
    Mistake(
        "atari_training",
        "memory_holds_what_happened",
        "memory = deque(maxlen=memory_size)",
        "memory = deque()",
        "with maxlen",
    ),
    Mistake(
        "atari_training",
        "memory_holds_what_happened",
        _PUSH,
        _PUSH.replace("stack, action", "stack / 255, action"),
        "keep bytes",
    ),
    Mistake(
        "atari_training",
        "games_are_played_whole",
        "score, steps, total_steps = score + reward,",
        "score, steps, total_steps = score + np.sign(reward),",
        "Game.score says",
    ),
    Mistake(
        "atari_training",
        "memory_holds_what_happened",
        _PUSH,
        _PUSH.replace(
            "stack_pictures(preprocess(screen, crop, shape), stack)",
            "stack; stack[:-1] = stack[1:].copy(); stack[-1] = preprocess(screen, crop, shape)",
        ),
        "is it changed in place",
    ),
    Mistake(
        "atari_training",
        "memory_holds_what_happened",
        _PUSH,
        _PUSH.replace("crop, shape", "(30, 195, 5, 155), shape"),
        "crop each screen by the argument",
    ),
    Mistake(
        "atari_training",
        "n_stack_is_an_argument",
        _NEW_STACK,
        _NEW_STACK.replace("n_stack=n_stack", "n_stack=4"),
        "pass n_stack on",
    ),
    Mistake(
        "atari_training",
        "target_is_copied",
        "total_steps % copy_every",
        "steps % copy_every",
        "through all games",
    ),
    Mistake(
        "atari_training",
        "memory_holds_what_happened",
        _NEW_STACK,
        _NEW_STACK.replace(", n_stack=n_stack)", ", stack if number else None)"),
        "a new game begins with a new stack",
    ),
    Mistake(
        "atari_training",
        "memory_holds_what_happened",
        _PUSH,
        _PUSH.replace("shape), stack)", "shape))"),
        "the same frame again and again",
    ),
    Mistake(
        "atari_training",
        "best_actions_at_epsilon_zero",
        "torch.as_tensor(stack)[None] / 255).argmax()",
        "torch.as_tensor(stack)[None].float()).argmax()",
        "divide the bytes by 255",
    ),
    Mistake(
        "atari_training",
        "memory_holds_what_happened",
        _PUSH,
        _PUSH.replace("np.sign(reward)", "reward"),
        "the agent learns from its sign",
    ),
    Mistake("atari_training", "target_is_copied", _COPY, "", "0 times"),
    Mistake(
        "atari_training",
        "memory_holds_what_happened",
        "            stack, done = next_stack, terminated or truncated",
        "            done = terminated or truncated",
        "",
    ),
    Mistake("atari_training", "epsilon_falls_per_step", _DECAY, "", "it never falls"),
    Mistake(
        "atari_training",
        "target_is_copied",
        "total_steps % copy_every == 0",
        "total_steps == copy_every",
        "1 times",
    ),
    # own_env
    Mistake(
        "own_env",
        "starts_are_seeded",
        "self.np_random.integers(self.size - 1)",
        "np.random.randint(7)",
        "same seed",
    ),
    Mistake(
        "own_env",
        "starts_are_seeded",
        "integers(self.size - 1)",
        "integers(self.size)",
        "begin at the goal",
    ),
    Mistake(
        "own_env",
        "starts_are_seeded",
        "self.np_random.integers(",
        "np.random.default_rng(seed).integers(",
        "other starts",
    ),
    Mistake(
        "own_env",
        "steps_lead_where_they_should",
        "max(0, self.position + (",
        "(self.position + (",
        "",
    ),
    Mistake(
        "own_env",
        "steps_lead_where_they_should",
        "(1 if action == 1 else -1)",
        "(-1 if action == 1 else 1)",
        "leads to cell",
    ),
    Mistake(
        "own_env", "slips_now_and_then", "< self.slip", "< self.slip / 4", "stayed where they were"
    ),
    Mistake(
        "own_env",
        "chance_is_the_worlds_own",
        "self.np_random.random() < ",
        "np.random.random() < ",
        "another episode",
    ),
    Mistake(
        "own_env", "steps_lead_where_they_should", "if not slipped:", "if slipped:", "leads to cell"
    ),
    Mistake(
        "own_env",
        "goal_ends_and_pays",
        "1.0 if terminated else -0.1",
        "1.0 if terminated else 0.1",
        "-0.1 expected",
    ),
    Mistake(
        "own_env",
        "goal_ends_and_pays",
        "self.position == self.size - 1",
        "self.position >= self.size",
        "terminated",
    ),
]
