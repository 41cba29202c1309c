"""Mistakes and other right styles of exercise 2a, ``dqn_update``."""

from __future__ import annotations

_BEST = "best_next = target_net(batch.next_states).max(dim=1).values"
_TARGETS = "targets = batch.rewards + gamma * (1 - batch.ended) * best_next"
_PREDICTED = "predicted = q_net(batch.states).gather(1, batch.actions[:, None]).squeeze(1)"
_LOSS = "loss = loss_function(predicted, targets)\n"
_ZERO = "    optimizer.zero_grad()\n"
_BACKWARD = "    loss.backward()\n"
_STEP = "    optimizer.step()\n"
_GRADIENT_STEP = _ZERO + _BACKWARD + _STEP
_RETURN = "    return loss.item()\n"


def _by_hand(step: str) -> str:
    """Return a loop over the weights."""
    return f"    for p in q_net.parameters():\n        {step}\n"


#: property that must find it -> (right, wrong, part of the message), see Mistake
MISTAKES: dict[str, list[tuple[str, str, str]]] = {
    "value_moves_to_target": [
        (_ZERO + _BACKWARD, _BACKWARD + _ZERO, "zero_grad() stands between"),
        (_BACKWARD, _BACKWARD + "    q_net.zero_grad()\n", "zero_grad() stands between"),
        (_BACKWARD + _STEP, _STEP + _BACKWARD, "step() stands before loss.backward()"),
        (_BACKWARD, "", "loss.backward() is missing"),
        (_BACKWARD, "    loss.detach().backward()\n", "`loss` has no gradient"),
        (_LOSS, _LOSS.rstrip() + ".item()\n", "loss.backward() comes first"),
        (
            _PREDICTED,
            "predicted = q_net(batch.states)[range(len(batch)), batch.actions]",
            "(len(batch) is 5)",
        ),
        (
            "    with torch.no_grad():\n        best",
            "    torch.set_grad_enabled(False)\n    if True:\n        best",
            "inside torch.no_grad()",
        ),
        (_STEP, "", "optimizer.step() is missing"),
        (_GRADIENT_STEP, "", "loss.backward() is missing"),
        ("    loss.backward()", "    (-loss).backward()", "sign of the loss"),
        (_PREDICTED, f"with torch.no_grad():\n        {_PREDICTED}", "inside torch.no_grad()"),
        (_PREDICTED, f"{_PREDICTED}.detach()", "cut off from q_net"),
        (_PREDICTED, f"{_PREDICTED}.detach().requires_grad_()", "no gradient reaches q_net"),
        (".gather(1, batch.actions[:, None]).squeeze(1)", ".max(dim=1).indices", "number of an"),
        (
            ".gather(1, batch.actions[:, None]).squeeze(1)",
            ".max(dim=1).values",
            "value of action 4 of state 0 moved",
        ),
        (_PREDICTED, _PREDICTED.replace("batch.states", "batch.next_states"), "not about next_s"),
        (_PREDICTED, _PREDICTED.replace("q_net", "target_net"), "gradient runs into target_net"),
        (".gather(1, batch.actions[:, None]).squeeze(1)", "", "predicted has a value for each"),
        (_BEST, _BEST.replace(".values", ""), "max(dim=1) returns two tensors"),
        (_BEST, _BEST.replace("dim=1", "dim=0"), "targets has a value for each action"),
        (_PREDICTED, _PREDICTED.replace("[:, None]", ""), "as a column"),
        (
            "    # 2. the targets",
            (
                "    batch = dqn_update.batch = getattr(dqn_update, 'batch', batch)\n"
                "    # 2. the targets"
            ),
            "keep nothing from call to call",
        ),
        (
            "    # 2. the targets",
            "    global net\n    q_net = net = globals().get('net') or q_net\n    # 2. the targets",
            "keep nothing from call to call",
        ),
        (_LOSS, "loss = loss_function(predicted, targets.numpy())\n", "and got: Tensor, ndarray"),
        (_LOSS, "loss = loss_function()(predicted, targets)\n", "and got: nothing"),
        (
            _PREDICTED,
            "predicted = q_net(batch.states)[batch.actions, 0]",
            "the axis of the rows",
        ),
        (
            _STEP,
            "    torch.optim.Adam([torch.zeros(1)]).step()\n",
            "a step of Adam was made, not one of the given",
        ),
    ],
    "target_network_stays": [
        ("with torch.no_grad():\n        best", "if True:\n        best", "gradient runs into"),
        (_STEP, _STEP + "    target_net.load_state_dict(q_net.state_dict())\n", "changed target_"),
        (
            _STEP,
            (
                _STEP + "    dqn_update.n = getattr(dqn_update, 'n', 0) + 1\n"
                "    if dqn_update.n % 200 == 0:\n"
                "        target_net.load_state_dict(q_net.state_dict())\n"
            ),
            "changed target_net: the training copies",
        ),
    ],
    "end_is_worth_its_reward": [
        (_TARGETS, "targets = batch.rewards + gamma * best_next", "terminal case is"),
        ("(1 - batch.ended)", "batch.ended", "nothing of the next state counts"),
        (
            "batch.rewards + gamma * (1 - batch.ended) * best_next",
            "(1 - batch.ended) * (batch.rewards + gamma * best_next)",
            "the reward counts all the same",
        ),
        (_TARGETS, _TARGETS.replace("rewards +", "rewards.clamp(-1, 1) +"), "reward is clipped"),
    ],
    "target_is_bellmans": [
        (_TARGETS, f"{_TARGETS}; targets = targets.clamp(-100, 100)", "the target is clipped"),
        (_TARGETS, _TARGETS.replace("rewards +", "rewards.clamp(-10, 10) +"), "reward is clipped"),
        (_BEST, _BEST.replace("target_net", "q_net"), "not of target_net"),
        (
            _BEST,
            "import copy; " + _BEST.replace("target_net", "copy.deepcopy(q_net)"),
            "not of target_net",
        ),
        ("target_net(batch.next_", "target_net(batch.", "state that was left"),
        (_BEST, _BEST.replace("max(dim=1).values", "mean(dim=1)"), "mean of the next"),
        (_BEST, _BEST.replace("max", "min"), "smallest value"),
        (_BEST, _BEST.replace(".values", ".indices"), "number of the best action"),
        (_BEST, _BEST.replace("max(dim=1).values", "argmax(dim=1)"), "number of the best action"),
        ("+ gamma * (1", "+ (1", "gamma is left out"),
        ("+ gamma * (1", "- gamma * (1", "the sign of gamma"),
        ("+ gamma * (1", "+ 0.99 * (1", "gamma is 0.99, whatever was passed"),
        ("gamma * (1 - batch.ended) * best_next", "0 * best_next", "the future is left out"),
        (
            _BEST,
            (
                "next_q = target_net(batch.next_states)\n"
                "        best = q_net(batch.next_states).argmax(dim=1)\n"
                "        best_next = next_q[torch.arange(len(best)), best]"
            ),
            "that is Double DQN",
        ),
        (
            _BEST,
            "best_next = target_net(batch.next_states).gather(1, batch.actions[:, None])[:, 0]",
            "was taken before",
        ),
        ("= batch.rewards +", "= batch.ended * batch.rewards +", "reward is left out"),
    ],
    "other_actions_stay": [
        (
            _STEP,
            _STEP + "    q_net.load_state_dict(target_net.state_dict())\n",
            "something else than optimizer.step()",
        ),
        (
            _LOSS,
            _LOSS.rstrip() + " + loss_function(q_net(batch.states).mean(1), targets)\n",
            "choose the taken action",
        ),
        (".gather(1, batch.actions[:, None]).squeeze(1)", ".sum(1)", "choose the taken action"),
    ],
    "every_row_counts": [
        ("None]).squeeze(1)", "None])", "(B, 1) and (B,)"),
        (_BEST, _BEST.replace("max(dim=1).values", "max()"), "largest value of the whole batch"),
        (_BEST, _BEST + "[0]", "first row's next state"),
        (_TARGETS, _TARGETS.replace("best_next", "best_next.flip(0)"), "in another order"),
    ],
    "batch_stays": [
        (
            _TARGETS,
            "targets = batch.rewards\n    targets += gamma * (1 - batch.ended) * best_next",
            "batch.rewards was",
        ),
        ("(1 - batch.ended)", "batch.ended.neg_().add_(1)", "batch.ended was"),
        (_STEP, _STEP + "    q_net.eval()\n", "left in eval() mode"),
        (_STEP, _STEP + "    q_net.requires_grad_(False)\n", "requires_grad False"),
    ],
    "gradients_do_not_add_up": [
        (_ZERO, "", "zero_grad() is missing"),
        (_ZERO, "    target_net.zero_grad()\n", "zero_grad() is missing"),
    ],
    "given_optimizer_is_used": [
        (_ZERO, "    optimizer = torch.optim.Adam(q_net.parameters())\n" + _ZERO, "step of Adam"),
        (_STEP, _by_hand("p.data -= 0.1 * p.grad"), "without optimizer.step()"),
        (_STEP, _STEP + _by_hand("p.data -= 0.1 * p.grad"), "changed outside of optimizer.step()"),
        (_STEP, _STEP + _STEP, "called 2 times"),
        (
            _STEP,
            "    optimizer.param_groups[0]['lr'] *= 0.5\n" + _STEP,
            "learning rate was 0.25, and is 0.125",
        ),
    ],
    "given_loss_is_used": [
        ("loss_function(predicted", "nn.functional.mse_loss(predicted", "0 times"),
        (_BACKWARD, "    (loss * len(targets)).backward()\n", "3 times as much"),
        (_LOSS, _LOSS.replace("targets)", "targets, reduction='sum')"), "3 times as much"),
        (
            _LOSS,
            "loss = sum(loss_function(p, t) for p, t in zip(predicted, targets))\n",
            "3 times as much",
        ),
        (_BACKWARD, "    (loss / len(targets)).backward()\n", "3 times less"),
        (_LOSS, _LOSS.rstrip() + " / 2\n", "0.5 times that"),
        (_LOSS, "loss = loss_function(predicted[0], targets[0])\n", "rows [1 2] do not count"),
        (
            _BACKWARD,
            "    loss.backward(retain_graph=True)\n" + _BACKWARD,
            "loss.backward() ran 2 times",
        ),
        (
            _BACKWARD,
            _BACKWARD + "    nn.utils.clip_grad_norm_(q_net.parameters(), 10.0)\n",
            "is clipped",
        ),
        (_BACKWARD, _BACKWARD + _by_hand("p.grad.clamp_(-1, 1)"), "is clipped"),
        (
            _BACKWARD,
            "    nn.functional.l1_loss(predicted, targets).backward()\n",
            "not the gradient of the given loss",
        ),
    ],
    "loss_is_returned": [
        (_RETURN, "", "returned None"),
        (_RETURN, "    return loss\n", "returned the tensor"),
        (_RETURN, "    return 0\n", "got 0"),
        (_RETURN, "    return loss.item() * len(targets)\n", "return what loss_function gave"),
        (
            _RETURN,
            (f"    {_PREDICTED}\n    {_LOSS}    return loss.item()\n"),
            "the loss after the step",
        ),
    ],
    "other_sizes_work": [
        (
            _TARGETS,
            "targets = batch.rewards + max(gamma, 0.5) * (1 - batch.ended) * best_next",
            "with 7 inputs, 3 actions, 1 rows, gamma 0.0",
        ),
        (
            _TARGETS,
            (
                "targets = batch.rewards + gamma * (1 - batch.ended) * best_next\n"
                "    if len(targets) > 5:\n        targets = targets[:5].repeat(2)[:len(targets)]"
            ),
            "with 2 inputs, 5 actions, 8 rows",
        ),
    ],
    "nothing_survives": [
        (
            "    with torch.no_grad():\n        best",
            (
                "    dqn_update.seen = (*getattr(dqn_update, 'seen', ()), q_net)\n"
                "    if dqn_update.seen.count(q_net) > 1:\n        batch = dqn_update.batch\n"
                "    dqn_update.batch = batch\n"
                "    with torch.no_grad():\n        best"
            ),
            "keep nothing from call to call",
        ),
    ],
}

#: style -> definitions that follow the solution, and replace its own
STYLES: dict[str, str] = {
    "unusual": """
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
    "a loop over the rows": """
def dqn_update(q_net, target_net, optimizer, batch, gamma, loss_function):
    losses = []
    for state, action, reward, next_state, ended in zip(*batch):
        y = reward
        if not ended:
            with torch.no_grad():
                y = reward + gamma * max(target_net(next_state))
        losses.append(loss_function(q_net(state)[action], y))
    loss = torch.stack(losses).mean()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    return loss.item()
""",
    "only states that have a next one": """
def dqn_update(q_net, target_net, optimizer, batch, gamma, loss_function):
    goes_on = batch.ended == 0
    values = torch.zeros(len(batch.rewards))
    with torch.no_grad():
        values[goes_on] = target_net(batch.next_states[goes_on]).max(1)[0]
    target = (values * gamma) + batch.rewards
    column = q_net(batch.states).gather(1, batch.actions.unsqueeze(1))
    loss = loss_function(column, target.unsqueeze(1))
    optimizer.zero_grad(set_to_none=False)
    loss.backward()
    optimizer.step()
    return loss.detach().item()
""",
    "targets in NumPy": """
def dqn_update(q_net, target_net, optimizer, batch, gamma, loss_function):
    states, actions, rewards, next_states, ended = batch
    best = target_net(next_states).detach().numpy().max(axis=1)
    y = rewards.numpy() + gamma * (1 - ended.numpy()) * best
    q = q_net(states)[np.arange(len(actions)), actions]
    loss = loss_function(q, torch.as_tensor(y, dtype=torch.float32))
    q_net.zero_grad()
    loss.backward()
    optimizer.step()
    return np.float32(loss.item())
""",
    "helpers and an error against zero": """
@torch.no_grad()
def bellman(target_net, batch, gamma):
    target_net.eval()
    hope = torch.amax(target_net(batch[3]), dim=-1)
    return batch[2] + gamma * hope.masked_fill(batch[4].bool(), 0.0)


def taken_values(net, batch):
    return torch.take_along_dim(net(batch[0]), batch[1].view(-1, 1), dim=1).flatten()


def dqn_update(q_net, target_net, optimizer, batch, gamma, loss_function):
    error = bellman(target_net, batch, gamma) - taken_values(q_net, batch)
    loss = loss_function(error, torch.zeros_like(error))
    for p in q_net.parameters():
        p.grad = None
    torch.autograd.backward(loss)
    optimizer.step()
    return loss.tolist()
""",
    "a step with a closure": """
def dqn_update(q_net, target_net, optimizer, batch, gamma, loss_function):
    with torch.no_grad():
        q_next, _ = torch.max(target_net(batch.next_states), 1)
    targets = torch.stack(
        [r if e else r + gamma * q for r, e, q in zip(batch.rewards, batch.ended, q_next)]
    )

    def closure():
        optimizer.zero_grad()
        loss = loss_function(input=q_net(batch.states)[range(len(targets)), batch.actions],
                             target=targets)
        loss.backward()
        return loss

    return optimizer.step(closure).item()
""",
    "a class that learns": """
class Learner:
    def __init__(self, online, frozen, gamma):
        self.online, self.frozen, self.gamma = online, frozen, gamma
        self.frozen.requires_grad_(False)

    def errors(self, batch):
        v = self.frozen(batch.next_states).sort(dim=1, descending=True).values[:, 0]
        y = batch.rewards + self.gamma * v - self.gamma * v * batch.ended
        return y, self.online(batch.states).gather(-1, batch.actions.reshape(-1, 1)).reshape(-1)


def dqn_update(q_net, target_net, optimizer, batch, gamma, loss_function):
    optimizer.zero_grad()
    q_net.train()
    loss = loss_function(*Learner(q_net, target_net, gamma).errors(batch))
    loss.backward()
    optimizer.step()
    return loss.item()
""",
    "torch.autograd.grad": """
def dqn_update(q_net, target_net, optimizer, batch, gamma, loss_function):
    not_ended = torch.logical_not(batch.ended)
    with torch.inference_mode():
        y = batch.rewards + gamma * not_ended * target_net(batch.next_states).max(1).values
    y = y.clone()
    all_values = q_net(torch.cat([batch.states, batch.next_states]))[: len(y)]
    loss = loss_function(torch.einsum(
        "ba,ba->b", all_values, torch.eye(all_values.shape[1])[batch.actions]), y)
    weights = list(q_net.parameters())
    for weight, gradient in zip(weights, torch.autograd.grad(loss, weights)):
        weight.grad = gradient
    optimizer.step()
    return loss.item()
""",
    "a mean of the losses of the rows": """
def dqn_update(q_net, target_net, optimizer, batch, gamma, loss_function):
    with torch.no_grad():
        future = target_net(batch.next_states).max(dim=1, keepdim=True).values
        y = batch.rewards[:, None] + gamma * (1.0 - batch.ended[:, None]) * future
    q = q_net(batch.states).gather(dim=1, index=batch.actions.long().view(-1, 1))
    loss = loss_function(q, y, reduction="none").mean()
    optimizer.zero_grad(); loss.backward(); optimizer.step()
    return float(loss)
""",
}
