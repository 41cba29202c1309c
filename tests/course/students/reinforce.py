"""Mistakes and other right styles of exercise 6, ``reinforce``."""

from __future__ import annotations

_RETURNS = """    returns, following = [], 0.0
    for reward in reversed(rewards):
        following = reward + gamma * following
        returns.append(following)
    returns.reverse()
"""
_DISCOUNT = "        following = reward + gamma * following\n"
_LOG_PROBS = "    log_probs = Categorical(logits=policy(states)).log_prob(actions)\n"
_LOSS = "    loss = -((returns - baseline) * log_probs).sum()\n"
_UPDATE = """    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
"""
_RESET = "        state, _ = env.reset()\n"
_SAMPLE = """            with torch.no_grad():
                logits = policy(torch.as_tensor(state)[None])
            action = int(Categorical(logits=logits).sample())
"""
_KEEP = "            states.append(state)\n"
_DONE = "            state, done = next_state, terminated or truncated\n"
_LISTS = "        states, actions, rewards, done = [], [], [], False\n"
_LEARN = """        returns = discounted_returns(rewards, gamma)
        reinforce_update(policy, optimizer, states, actions, returns, baseline)
"""
_BASELINE = "        baseline = baseline + baseline_rate * (float(returns.mean()) - baseline)\n"

#: property that must find it -> (right, wrong, part of the message), see Mistake
MISTAKES: dict[str, list[tuple[str, str, str]]] = {
    "returns_are_discounted": [
        (_DISCOUNT, _DISCOUNT.replace("gamma * ", ""), "gamma is left out"),
        (_DISCOUNT, _DISCOUNT.replace("gamma *", "0.99 *"), "the number 0.99"),
        ("    returns.reverse()\n", "", "reverse order"),
        ("in reversed(rewards)", "in rewards", "runs from the first step"),
        (
            _RETURNS,
            _RETURNS.replace("reversed(rewards)", "rewards").replace("    returns.reverse()\n", ""),
            "must begin at the last one",
        ),
        (
            "    returns.reverse()\n",
            "    returns = [following] * len(rewards)\n",
            "return of the whole episode",
        ),
        (
            _RETURNS,
            "    powers = [gamma**t * r for t, r in enumerate(rewards)]\n"
            "    returns = [sum(powers[t:]) for t in range(len(rewards))]\n",
            "count from the step itself",
        ),
        (_DISCOUNT, _DISCOUNT.replace("reward + gamma *", "gamma * (reward +")[:-1] + ")\n", "too"),
        (
            _RETURNS,
            _RETURNS.replace(_DISCOUNT, "").replace(
                "append(following)\n", "append(following)\n" + _DISCOUNT
            ),
            "reward of the step itself is left out",
        ),
        (
            "    returns.reverse()\n",
            "    returns.reverse()\n    returns = np.array(returns) - np.mean(returns)\n",
            "shifted or scaled",
        ),
        (
            "    returns.reverse()\n",
            "    returns.reverse()\n"
            "    returns = (np.array(returns) - np.mean(returns)) / np.std(returns)\n",
            "shifted or scaled",
        ),
        ("    return torch.tensor(returns, dtype=torch.float32)\n", "", "returned None"),
        ("    return torch.tensor(returns, dtype=torch.float32)\n", "    return returns\n", "list"),
        ("torch.tensor(returns, dtype=torch.float32)", "torch.tensor(returns).int()", "fractions"),
        ("torch.tensor(returns, dtype=torch.float32)", "torch.tensor(returns)[:, None]", "(5, 1)"),
        ("in reversed(rewards):", "in rewards[::-1][1:]:", "the last step has one too"),
        (
            "    for reward in reversed(rewards):\n",
            "    rewards.reverse()\n    for reward in rewards:\n",
            "changed in place",
        ),
    ],
    "returns_are_of_one_episode": [
        (
            "",
            "\nreturns = []\n\n\ndef discounted_returns(rewards, gamma):\n"
            "    following = 0.0\n"
            "    for reward in reversed(rewards):\n"
            "        following = reward + gamma * following\n"
            "        returns.insert(0, following)\n"
            "    return torch.tensor(returns, dtype=torch.float32)\n",
            "start empty in each call",
        ),
        (
            "",
            "\nfollowing = 0.0\n\n\ndef discounted_returns(rewards, gamma):\n"
            "    global following\n"
            "    values = []\n"
            "    for reward in reversed(rewards):\n"
            "        following = reward + gamma * following\n"
            "        values.insert(0, following)\n"
            "    return torch.tensor(values, dtype=torch.float32)\n",
            "left from the call before",
        ),
    ],
    "update_follows_the_formula": [
        (_LOG_PROBS, _LOG_PROBS.replace("logits=policy(states)", "policy(states)"), "by name"),
        (_LOG_PROBS, _LOG_PROBS.replace("(states)", "(states).softmax(1)"), "applied twice"),
        (_LOG_PROBS, "    with torch.no_grad():\n    " + _LOG_PROBS, "inside no_grad"),
        ("    loss.backward()\n", "", "loss.backward() is missing"),
        ("    optimizer.step()\n", "", "given optimizer makes no step"),
        (
            _UPDATE,
            "    loss.backward()\n    optimizer.zero_grad()\n    optimizer.step()\n",
            "deletes the gradient before the step",
        ),
        (
            _UPDATE,
            "    optimizer.zero_grad()\n    optimizer.step()\n    loss.backward()\n",
            "comes before loss.backward()",
        ),
        (
            _UPDATE,
            "    optimizer = torch.optim.SGD(policy.parameters(), lr=0.1)\n" + _UPDATE,
            "do not make another one",
        ),
        (
            _UPDATE,
            "    loss.backward()\n    with torch.no_grad():\n"
            "        for weights in policy.parameters():\n"
            "            weights -= 0.1 * weights.grad\n            weights.grad = None\n",
            "given optimizer makes no step",
        ),
        (
            _LOG_PROBS,
            "    with torch.no_grad():\n    " + _LOG_PROBS + "    log_probs.requires_grad_()\n",
            "computed inside no_grad",
        ),
        (
            _LOSS + "    # 4",
            "    for step in range(len(returns)):\n"
            "        loss = -(returns[step] - baseline) * log_probs[step]\n"
            "        optimizer.zero_grad()\n"
            "        loss.backward(retain_graph=True)\n"
            "        optimizer.step()\n"
            "    # 4",
            "one for the whole episode",
        ),
        (_LOSS, "    returns -= baseline\n    loss = -(returns * log_probs).sum()\n", "in place"),
        ("loss = -((", "loss = ((", "the sign is wrong"),
        ("((returns - baseline) *", "(returns *", "baseline has no effect"),
        ("((returns - baseline) *", "((baseline - returns) *", "the sign is wrong"),
        (_LOSS, "    loss = -(returns * log_probs).sum() - baseline\n", "baseline has no effect"),
        (_LOSS, _LOSS.replace("sum()", "mean()"), "mean over the steps"),
        (".log_prob(actions)\n", ".log_prob(actions).exp()\n", "not its logarithm"),
        (
            _LOG_PROBS,
            "    log_probs = policy(states).gather(1, actions[:, None]).squeeze(1)\n",
            "logits are taken for log-probabilities",
        ),
        ("((returns - baseline) *", "((returns - returns.mean()) *", "mean of these returns"),
        (
            "((returns - baseline) *",
            "(((returns - baseline) / returns.std()) *",
            "times what they should be",
        ),
        ("((returns - baseline) *", "((returns[0] - baseline) *", "return of the first one"),
        (
            _LOG_PROBS,
            "    log_probs = policy(states).log_softmax(1).gather(1, actions[:, None])\n",
            "(T, 1) and (T,) make (T, T)",
        ),
        (
            _LOG_PROBS,
            "    log_probs = policy(states).log_softmax(dim=1).max(dim=1).values\n",
            "likeliest action of each row",
        ),
        (
            _LOSS,
            "    log_probs = policy(states).log_softmax(dim=1)\n"
            "    loss = -((returns - baseline)[:, None] * log_probs).sum()\n",
            "log-probabilities of all actions",
        ),
        (_LOSS, _LOSS.replace(".sum()", "[-1]"), "only the last step"),
        (
            _LOG_PROBS,
            "    log_probs = policy(states).log_softmax(dim=0)\n"
            "    log_probs = log_probs.gather(1, actions[:, None]).squeeze(1)\n",
            "softmax runs over the steps",
        ),
        (
            "    loss.backward()\n",
            "    loss.backward()\n    nn.utils.clip_grad_norm_(policy.parameters(), 0.5)\n",
            "times what they should be",
        ),
        (
            _LOG_PROBS,
            "    log_probs = Categorical(logits=policy(states)).log_prob(\n"
            "        Categorical(logits=policy(states)).sample()\n    )\n",
            "nothing in it may be random",
        ),
    ],
    "gradients_do_not_add_up": [
        ("    optimizer.zero_grad()\n", "", "optimizer.zero_grad() is missing"),
        (
            "",
            "\npast = []\n\n\n"
            "def reinforce_update(policy, optimizer, states, actions, returns, baseline):\n"
            "    past.extend(zip(states, actions, returns - baseline))\n"
            "    loss = sum(-g * Categorical(logits=policy(s)).log_prob(a) for s, a, g in past)\n"
            "    optimizer.zero_grad()\n    loss.backward()\n    optimizer.step()\n"
            "    return loss.item()\n",
            "a list outside of the function",
        ),
    ],
    "loss_is_returned": [
        ("    return loss.item()\n", "    return loss\n", "got Tensor"),
        ("    return loss.item()\n", "", "got NoneType"),
        ("    return loss.item()\n", "    return -loss.item()\n", "reinforce_update returned"),
        (
            _LOG_PROBS,
            "    log_probs = policy(states).log_softmax(dim=1)\n"
            "    chosen = nn.functional.one_hot(actions.clamp(max=1), 2)\n"
            "    log_probs = (log_probs[:, :2] * chosen).sum(1)\n",
            "take sizes from the tensors",
        ),
    ],
    "episodes_are_played_whole": [
        (_DONE, _DONE.replace(" or truncated", ""), "terminated or truncated"),
        ("and len(rewards) < max_steps", "", "max_steps must end it"),
        ("< max_steps", "<= max_steps", "lasted [14"),
        ("< max_steps", "< 500", "lasted [500"),
        ("in range(n_episodes)", "in range(6)", "n_episodes is 4"),
        (_RESET, "        state, _ = env.reset(seed=0)\n", "begin alike"),
        (_RESET, "        if number == 0:\n    " + _RESET, "after the end of an episode"),
        (
            _SAMPLE,
            _SAMPLE.replace("int(Categorical(logits=logits).sample())", "logits.argmax()"),
            "makes a number of a tensor",
        ),
        (
            _SAMPLE,
            _SAMPLE.replace("torch.as_tensor(state)[None]", "state"),
            "a network needs a tensor",
        ),
        (
            _SAMPLE,
            _SAMPLE.replace("torch.as_tensor(state)", "torch.tensor(state, dtype=torch.double)"),
            "weights are float32",
        ),
    ],
    "one_update_for_each_episode": [
        (_LEARN, _LEARN + _LEARN, "several times after each"),
        (_LEARN, "        returns = discounted_returns(rewards, gamma)\n", "call it, it is not"),
        (
            _DONE,
            _DONE
            + "            reinforce_update(policy, optimizer, states, actions, rewards, 0)\n",
            "called after each step",
        ),
        (
            _LEARN,
            _LEARN.replace("        reinforce", "        if number % 2:\n            reinforce"),
            "after the last step of each episode",
        ),
        (
            "    for number in range(n_episodes):\n" + _LISTS,
            "    states, actions = [], []\n"
            "    for number in range(n_episodes):\n        rewards, done = [], False\n"
            "        states, actions = list(states), list(actions)\n",
            "must start empty in each episode",
        ),
        (_KEEP, "            states = states or [state]\n", "[1, 1, 1"),
    ],
    "update_gets_what_happened": [
        (_KEEP, _KEEP.replace("(state)", "(state[None])"), "axis too many"),
        (_KEEP, "            states.append(next_state)\n", "states after the steps"),
        (_DONE, "            done = terminated or truncated\n", "state must become next_state"),
        ("actions.append(action)", "actions.append(1 - action)", "were played"),
        ("rewards.append(reward)", "rewards.append(1.0)", "as env.step returned it"),
        ("= discounted_returns(rewards, gamma)", "= discounted_returns(rewards, 0.99)", "0.99"),
        ("= discounted_returns(rewards, gamma)", "= discounted_returns(rewards, 1)", "left out"),
        (
            _LEARN,
            _LEARN.replace("actions, returns,", "actions, torch.tensor(rewards),"),
            "rewards themselves",
        ),
        (
            _LEARN,
            _LEARN.replace("actions, returns,", "actions, returns - baseline,"),
            "shifted or scaled",
        ),
        (
            "  reinforce_update(policy, optimizer, states",
            "  reinforce_update(policy, torch.optim.Adam(policy.parameters()), states",
            "another optimizer",
        ),
    ],
    "actions_are_sampled": [
        ("int(Categorical(logits=logits).sample())", "int(logits.argmax())", "argmax"),
        (
            "int(Categorical(logits=logits).sample())",
            "int(env.action_space.sample())",
            "equally likely",
        ),
        ("Categorical(logits=logits).sample", "Categorical(logits).sample", "for probabilities"),
        ("logits=logits).sample", "logits=logits.softmax(1)).sample", "softmax is applied twice"),
        (
            "            action = int(",
            "            torch.manual_seed(0)\n            action = int(",
            "same seed",
        ),
        (
            "            action = int(",
            "            action = int(logits.argmax()) if torch.rand(1) < 0.9 else int(",
            "sample from the policy alone",
        ),
        (
            "Categorical(logits=logits).sample",
            "Categorical(logits=-logits).sample",
            "the wrong way round",
        ),
    ],
    "policy_sees_the_present_state": [
        (
            "policy(torch.as_tensor(state)[None])",
            "policy(torch.as_tensor(states[-1] if states else state)[None])",
            "ask it in the present state",
        ),
        (
            _SAMPLE,
            _SAMPLE + "            action = 1 - action if torch.rand(1) < 0.05 else action\n",
            "add no random actions",
        ),
    ],
    "chance_is_not_repeated": [
        (_RESET, _RESET + "        torch.manual_seed(0)\n", "two episodes took the same"),
        (_RESET, _RESET.replace("()", "(seed=number)"), "with the same seeds"),
        (
            "    games, total_steps, baseline = [], 0, 0.0\n",
            "    torch.manual_seed(0)\n    games, total_steps, baseline = [], 0, 0.0\n",
            "belongs to the caller",
        ),
    ],
    "baseline_follows_the_returns": [
        (_BASELINE, "", "it never moves"),
        (_BASELINE, _BASELINE.replace("= ", "= max(baseline, ", 1)[:-1] + ")\n", "they got"),
        (_BASELINE, _BASELINE.replace("returns.mean()", "returns[0]"), "first step"),
        (_BASELINE, _BASELINE.replace("returns.mean()", "sum(rewards)"), "towards the score"),
        (_BASELINE, _BASELINE.replace("baseline_rate", "0.1"), "not by the argument"),
        (_BASELINE, _BASELINE.replace(" - baseline)", ")"), "grows and grows"),
        (_BASELINE, "        baseline = float(returns.mean())\n", "last episode alone"),
        (
            _BASELINE,
            _BASELINE.replace("(float(returns.mean()) - baseline)", "(baseline - returns.mean())"),
            "the sign is wrong",
        ),
        (
            _LEARN
            + "        # 9. the baseline moves towards the mean of these returns\n"
            + _BASELINE,
            _LEARN.replace("        reinf", _BASELINE + "        reinf"),
            "update the policy first",
        ),
        (
            "states, actions, returns, baseline)\n        # 9",
            "states, actions, returns, float(returns.mean()))\n        # 9",
            "earlier episodes count",
        ),
        (
            _BASELINE,
            "        baseline = baseline_rate * baseline + (1 - baseline_rate) * returns.mean()\n",
            "changed places",
        ),
        (
            _BASELINE,
            "        first = baseline if number else float(returns.mean())\n"
            + _BASELINE.replace("= baseline +", "= first +").replace("- baseline)", "- first)"),
            "starts at the first episode's mean",
        ),
        (
            "",
            "\nkept = [0.0]\n\n\ndef reinforce(env, policy, optimizer, *, n_episodes, max_steps,"
            " gamma, baseline_rate, report=None):\n"
            "    for _ in range(n_episodes):\n"
            "        state, done, states, actions, rewards = env.reset()[0], False, [], [], []\n"
            "        while not done and len(rewards) < max_steps:\n"
            "            logits = policy(torch.as_tensor(state))\n"
            "            states.append(state)\n"
            "            actions.append(Categorical(logits=logits).sample().item())\n"
            "            state, reward, terminated, truncated, _ = env.step(actions[-1])\n"
            "            rewards.append(reward)\n"
            "            done = terminated or truncated\n"
            "        returns = discounted_returns(rewards, gamma)\n"
            "        states = torch.as_tensor(np.array(states))\n"
            "        actions = torch.tensor(actions)\n"
            "        reinforce_update(policy, optimizer, states, actions, returns, kept[0])\n"
            "        kept[0] += baseline_rate * (float(returns.mean()) - kept[0])\n",
            "left from the training before",
        ),
    ],
    "games_are_returned": [
        ("    return games\n", "", "NoneType"),
        ("        report(games[-1])\n", "", "report was called 0 times"),
        (
            "score = float(sum(rewards))",
            "score = float(discounted_returns(rewards, gamma)[0])",
            "not discounted",
        ),
        (
            "        total_steps += len(rewards)\n",
            "        total_steps = len(rewards)\n",
            "those of all episodes",
        ),
    ],
    "sizes_come_from_outside": [
        (
            "int(Categorical(logits=logits).sample())",
            "int(np.random.choice(2, p=logits.double().softmax(1).numpy()[0]))",
            "Sizes of the lesson",
        ),
        (
            "int(Categorical(logits=logits).sample())",
            "int(torch.rand(1) < logits.softmax(1)[0, 1])",
            "were never played",
        ),
        (
            "policy(torch.as_tensor(state)[None])",
            "policy(torch.as_tensor(state).reshape(1, 4))",
            "Sizes of the lesson",
        ),
    ],
    "training_follows_the_formula": [
        (
            "torch.as_tensor(actions)  # (T,) int64\n",
            "torch.as_tensor(actions)[:, None]\n",
            "types and shapes",
        ),
        (_BASELINE, _BASELINE + "        optimizer.step()\n", "does nothing else change"),
    ],
}

_LOOP = """
def reinforce(
    env, policy, optimizer, *, n_episodes, max_steps, gamma, baseline_rate, report=lambda game: None
):
    played, steps, b = [], 0, 0.0
    for n in range(n_episodes):
        state, _ = env.reset()
        episode = []
        for _ in range(max_steps):
            {sample}
            following, reward, terminated, truncated, _ = env.step(action)
            episode.append((state, action, reward))
            state = following
            if terminated or truncated:
                break
        states, actions, rewards = zip(*episode)
        steps += len(episode)
        G = discounted_returns(list(rewards), gamma)
        played.append(Game(n, len(episode), steps, float(np.sum(rewards)), b))
        reinforce_update(
            policy,
            optimizer,
            states=torch.stack([torch.as_tensor(s) for s in states]),
            actions=torch.tensor(actions),
            returns=G,
            baseline=b,
        )
        b = (1 - baseline_rate) * b + baseline_rate * G.mean().item()
        report(played[-1])
    return played
"""

#: style -> definitions that follow the solution, and replace its own
STYLES: dict[str, str] = {
    "sums of slices": """
def discounted_returns(rewards, gamma):
    n = len(rewards)
    return torch.tensor([
        float(sum(gamma ** (k - t) * rewards[k] for k in range(t, n))) for t in range(n)
    ])
""",
    "recursive": """
def to_go(rewards, gamma):
    if not rewards:
        return []
    rest = to_go(rewards[1:], gamma)
    return [rewards[0] + gamma * (rest[0] if rest else 0), *rest]


def discounted_returns(rewards, gamma):
    return torch.FloatTensor(to_go(list(rewards), gamma))
""",
    "a matrix of powers": """
def discounted_returns(rewards, gamma):
    t = torch.arange(len(rewards))
    powers = torch.triu(torch.tensor(float(gamma)) ** (t - t[:, None]).clamp(min=0))
    return powers @ torch.tensor(rewards, dtype=torch.float32)
""",
    "in place from the end, in numpy": """
def discounted_returns(rewards, gamma):
    returns = np.array(rewards, dtype=np.float64)
    for t in range(len(rewards) - 2, -1, -1):
        returns[t] += gamma * returns[t + 1]
    return torch.from_numpy(returns)
""",
    "a deque and accumulate": """
from collections import deque
from itertools import accumulate


def discounted_returns(rewards, gamma):
    returns = deque()
    for value in accumulate(reversed(rewards), lambda later, reward: reward + gamma * later):
        returns.appendleft(value)
    return torch.tensor(list(returns))
""",
    "cross entropy": """
def reinforce_update(policy, optimizer, states, actions, returns, baseline):
    errors = nn.functional.cross_entropy(policy(states), actions, reduction="none")
    loss = torch.dot(errors, (returns - baseline).to(errors.dtype))
    policy.zero_grad()
    loss.backward()
    optimizer.step()
    return float(loss)
""",
    "log_softmax and gather, zero_grad at the end": """
def reinforce_update(policy, optimizer, states, actions, returns, baseline):
    table = torch.log_softmax(policy(states), dim=-1)
    chosen = table.gather(1, actions.view(-1, 1))
    loss = (chosen * (baseline - returns).view(-1, 1)).sum()
    loss.backward()
    optimizer.step()
    optimizer.zero_grad()
    return loss.detach().numpy().item()
""",
    "step by step, one sum": """
def reinforce_update(policy, optimizer, states, actions, returns, baseline):
    optimizer.zero_grad()
    loss = torch.zeros(())
    for s, a, g in zip(states, actions, returns):
        probabilities = torch.softmax(policy(s), dim=0)
        loss = loss - (g - baseline) * torch.log(probabilities[a])
    loss.backward()
    optimizer.step()
    return loss.item()
""",
    "gradients of the steps add up before one step": """
def reinforce_update(policy, optimizer, states, actions, returns, baseline):
    for weights in policy.parameters():
        weights.grad = None
    total = 0.0
    for t in range(len(actions)):
        loss = -(returns[t] - baseline) * Categorical(logits=policy(states[t])).log_prob(actions[t])
        loss.backward()
        total += loss.item()
    optimizer.step()
    return total
""",
    "the mean times the number of steps": """
def reinforce_update(policy, optimizer, states, actions, returns, baseline):
    log_probs = Categorical(probs=policy(states).softmax(1)).log_prob(actions)
    loss = -len(actions) * torch.mean(log_probs * (returns - baseline).detach())
    optimizer.zero_grad(set_to_none=False)
    loss.backward()
    optimizer.step()
    return np.float32(loss.item())
""",
    "a for loop with break, no batch axis": _LOOP.format(
        sample="action = Categorical(logits=policy(torch.from_numpy(state))).sample().item()"
    ),
    "multinomial": _LOOP.format(
        sample="action = torch.multinomial(policy(torch.tensor(state)).softmax(-1), 1).item()"
    ),
    "numpy's generator": "\nchance = np.random.default_rng()\n"
    + _LOOP.format(
        sample="p = policy(torch.as_tensor(state)[None]).detach().softmax(1).double().numpy()[0]\n"
        "            action = chance.choice(len(p), p=p / p.sum())"
    ),
    "a class plays the episode, the update takes lists": """
class Episode:
    def __init__(self, env, policy, max_steps):
        self.states, self.actions, self.rewards = [], [], []
        state, over = env.reset()[0], False
        while not (over or len(self.actions) == max_steps):
            self.states.append(state)
            self.actions.append(self.choose(policy, state))
            state, reward, terminated, truncated, _ = env.step(self.actions[-1])
            self.rewards.append(reward)
            over = terminated or truncated

    @torch.no_grad()
    def choose(self, policy, state):
        weights = policy(torch.as_tensor(state).unsqueeze(0)).squeeze(0).exp().numpy()
        return np.int64(random.choices(range(len(weights)), weights)[0])


import random


def reinforce_update(policy, optimizer, states, actions, returns, baseline):
    states = torch.as_tensor(np.array(states), dtype=torch.float32)
    actions = torch.as_tensor(np.array(actions))
    log_probs = Categorical(logits=policy(states)).log_prob(actions)
    loss = -sum((g - baseline) * p for g, p in zip(returns, log_probs))
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    return loss.item()


def reinforce(env, policy, optimizer, *, n_episodes, max_steps, gamma, baseline_rate, report=repr):
    games = []
    baseline = torch.tensor(0.0)
    while len(games) < n_episodes:
        one = Episode(env, policy, max_steps)
        returns = discounted_returns(one.rewards, gamma)
        before = games[-1].total_steps if games else 0
        n = len(one.rewards)
        games.append(Game(len(games), n, before + n, sum(one.rewards), baseline.item()))
        reinforce_update(policy, optimizer, one.states, one.actions, returns, baseline)
        baseline = torch.lerp(baseline, returns.mean(), baseline_rate)
        report(games[-1])
    return games
""",
}
