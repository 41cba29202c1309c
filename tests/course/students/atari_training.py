"""Mistakes and other right styles of exercise 4, ``atari_training``."""

from __future__ import annotations

_NEW_STACK = """        stack = stack_pictures(preprocess(screen, crop, shape), n_stack=n_stack)
        score"""
_PUSH = """            next_stack = stack_pictures(preprocess(screen, crop, shape), stack)
            memory.append(Transition(stack, action, np.sign(reward), next_stack, float(terminated)))
            stack, done"""
_DECAY = "            epsilon = max(min_epsilon, epsilon - epsilon_decay)\n"

#: property that must find it -> (right, wrong, part of the message), see Mistake
MISTAKES: dict[str, list[tuple[str, str, str]]] = {
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
}

#: style -> definitions that follow the solution, and replace its own
STYLES: dict[str, str] = {}
