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

#: exercise -> property that must find it -> (right, wrong, part of the message)
_PLANTED = {
    "q_learning": {
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
    },
    "dqn_update": {
        "end_is_worth_its_reward": [
            (_TARGETS, "targets = batch.rewards + gamma * best_next", "terminal case is"),
            ("(1 - batch.ended)", "batch.ended", "nothing of the next state counts"),
            (
                "batch.rewards + gamma * (1 - batch.ended) * best_next",
                "(1 - batch.ended) * (batch.rewards + gamma * best_next)",
                "the reward counts all the same",
            ),
        ],
        "target_is_bellmans": [
            (_BEST, _BEST.replace("target_net", "q_net"), "not of target_net"),
            ("target_net(batch.next_", "target_net(batch.", "state that was left"),
            (_BEST, _BEST.replace("max(dim=1).values", "mean(dim=1)"), "mean of the next"),
            ("+ gamma * (1", "+ (1", "gamma is left out"),
            ("+ gamma * (1", "- gamma * (1", "the sign of gamma"),
            (
                _BEST,
                (
                    "next_q = target_net(batch.next_states)\n"
                    "        best = q_net(batch.next_states).argmax(dim=1)\n"
                    "        best_next = next_q[torch.arange(len(best)), best]"
                ),
                "read at one action",
            ),
            ("= batch.rewards +", "= batch.ended * batch.rewards +", "reward is left out"),
        ],
        "value_moves_to_target": [
            (
                "    optimizer.zero_grad()\n    loss.backward()\n",
                "    loss.backward()\n    optimizer.zero_grad()\n",
                "zero_grad() stands between them",
            ),
            ("    loss.backward()", "    (-loss).backward()", "sign of the loss"),
            ("    optimizer.step()\n", "", "optimizer.step() are missing"),
            (".gather(1, batch.actions[:, None]).squeeze(1)", ".max(dim=1).values", ""),
        ],
        "gradients_do_not_add_up": [
            ("    optimizer.zero_grad()\n", "", "zero_grad() is missing"),
        ],
        "every_row_counts": [
            (
                "q_net(batch.states).gather(1, batch.actions[:, None]).squeeze(1)",
                "q_net(batch.states).gather(1, batch.actions[:, None])",
                "shapes",
            ),
        ],
        "target_network_stays": [
            ("with torch.no_grad():\n        best", "if True:\n        best", "gradient runs into"),
        ],
        "given_loss_is_used": [
            ("    loss.backward()", "    (loss * len(targets)).backward()", "given loss"),
            (
                "    optimizer.zero_grad()\n",
                "    optimizer = torch.optim.Adam(q_net.parameters())\n    optimizer.zero_grad()\n",
                "the given optimizer",
            ),
            ("loss_function(predicted", "nn.functional.mse_loss(predicted", "0 times"),
        ],
        "other_actions_stay": [
            (".gather(1, batch.actions[:, None]).squeeze(1)", "", "choose the taken action"),
        ],
    },
    "dqn_training": {
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
    },
    "build_cnn": {
        "convolutions_are_the_papers": [
            ("kernel_size=4, stride=2", "kernel_size=4, stride=1", "the convolutions"),
        ],
        "values_for_each_action": [
            ("n_stack, 32, kernel", "4, 32, kernel", "your code raised"),
            ("Linear(64 * 7 * 7, 512)", "Linear(64 * 7 * 7, 256)", "your code raised"),
        ],
        "layers_are_not_linear": [
            (
                "        nn.Linear(512, n_actions),\n",
                "        nn.Linear(512, n_actions),\n        nn.ReLU(),\n",
                "no ReLU, sigmoid or softmax",
            ),
            ("nn.ReLU(),\n        nn.Flatten()", "nn.Flatten()", "missing after layer 3"),
            ("7, 512),\n        nn.ReLU(),\n", "7, 512),\n", "a ReLU is missing after layer 4"),
            (
                "7, 512),\n        nn.ReLU(),\n",
                "7, 512),\n        nn.Sigmoid(),\n",
                "a ReLU is missing after layer 4",
            ),
        ],
        "pixels_are_taken_as_they_are": [
            (
                "return nn.Sequential(\n        nn.Conv2d(n_stack",
                (
                    "class Scale(nn.Module):\n        def forward(self, x):\n"
                    "            return x / 255\n\n"
                    "    return nn.Sequential(\n        Scale(),\n        nn.Conv2d(n_stack"
                ),
                "the training loop divides by 255",
            ),
        ],
        "parameters_are_the_papers": [
            (
                "        nn.Linear(512, n_actions),\n",
                "        nn.Linear(512, 512),\n        nn.ReLU(),\n"
                "        nn.Linear(512, n_actions),\n",
                "make 1,686,180",
            ),
        ],
        "stacks_do_not_mix": [
            (
                "        nn.Flatten(),\n",
                "        nn.BatchNorm2d(64, affine=False),\n        nn.ReLU(),\n"
                "        nn.Flatten(),\n",
                "other values alone than in a batch",
            ),
        ],
    },
    "atari_training": {
        "memory_holds_what_happened": [
            (_PUSH, _PUSH.replace("stack, action", "stack / 255, action"), "keep bytes"),
            (
                _PUSH,
                _PUSH.replace(
                    "stack_pictures(preprocess(screen, crop, shape), stack)",
                    "stack; stack[:-1] = stack[1:].copy()\n"
                    "            stack[-1] = preprocess(screen, crop, shape)",
                ),
                "is it changed in place",
            ),
            (_PUSH, _PUSH.replace("crop, shape", "(30, 195, 5, 155), shape"), "crop each screen"),
            (
                _NEW_STACK,
                _NEW_STACK.replace(", n_stack=n_stack)", ", stack if number else None)"),
                "a new game begins with a new stack",
            ),
            (_PUSH, _PUSH.replace("shape), stack)", "shape))"), "the same frame again and again"),
            (_PUSH, _PUSH.replace("np.sign(reward)", "reward"), "the agent learns from its sign"),
        ],
        "games_are_played_whole": [
            (
                "score, steps, total_steps = score + reward,",
                "score, steps, total_steps = score + np.sign(reward),",
                "Game.score says",
            ),
        ],
        "n_stack_is_an_argument": [
            (_NEW_STACK, _NEW_STACK.replace("n_stack=n_stack", "n_stack=4"), "pass n_stack on"),
        ],
        "target_is_copied": [
            ("total_steps % copy_every == 0", "total_steps == copy_every", "1 times"),
        ],
        "best_actions_at_epsilon_zero": [
            (
                "torch.as_tensor(stack)[None] / 255).argmax()",
                "torch.as_tensor(stack)[None].float()).argmax()",
                "divide the bytes by 255",
            ),
        ],
        "epsilon_falls_per_step": [
            (_DECAY, "", "it never falls"),
        ],
    },
    "own_env": {
        "starts_are_seeded": [
            ("self.np_random.integers(self.size - 1)", "np.random.randint(7)", "same seed"),
            ("integers(self.size - 1)", "integers(self.size)", "begin at the goal"),
            ("self.np_random.integers(", "np.random.default_rng(seed).integers(", "other starts"),
        ],
        "steps_lead_where_they_should": [
            ("max(0, self.position + (", "(self.position + (", ""),
            ("(1 if action == 1 else -1)", "(-1 if action == 1 else 1)", "leads to cell"),
            ("if not slipped:", "if slipped:", "leads to cell"),
        ],
        "slips_now_and_then": [
            ("< self.slip", "< self.slip / 4", "stayed where they were"),
        ],
        "chance_is_the_worlds_own": [
            ("self.np_random.random() < ", "np.random.random() < ", "another episode"),
        ],
        "goal_ends_and_pays": [
            ("1.0 if terminated else -0.1", "1.0 if terminated else 0.1", "-0.1 expected"),
            ("self.position == self.size - 1", "self.position >= self.size", "terminated"),
        ],
    },
}

MISTAKES = [
    Mistake(exercise, prove, *mistake)
    for exercise, properties in _PLANTED.items()
    for prove, mistakes in properties.items()
    for mistake in mistakes
]
