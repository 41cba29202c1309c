"""Mistakes and other right styles of exercise 2a, ``dqn_update``."""

from __future__ import annotations

_BEST = "best_next = target_net(batch.next_states).max(dim=1).values"
_TARGETS = "targets = batch.rewards + gamma * (1 - batch.ended) * best_next"

#: property that must find it -> (right, wrong, part of the message), see Mistake
MISTAKES: dict[str, list[tuple[str, str, str]]] = {
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
}
