"""Mistakes and other right styles of exercise 5, ``own_env``."""

from __future__ import annotations

#: property that must find it -> (right, wrong, part of the message), see Mistake
MISTAKES: dict[str, list[tuple[str, str, str]]] = {
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
}

#: style -> definitions that follow the solution, and replace its own
STYLES: dict[str, str] = {}
