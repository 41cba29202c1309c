"""Findings of a check, and the verdict that they make."""

from __future__ import annotations

from dataclasses import dataclass

#: Name of what is looked at before any property.
READING = "The code is Python, and no blank is left"


@dataclass(frozen=True)
class Finding:
    """What came out of one property.

    :param name: what was looked at.
    :param message: what is wrong, empty if it holds.
    """

    name: str
    message: str = ""

    @property
    def passed(self) -> bool:
        """Whether the property holds."""
        return not self.message

    def __str__(self) -> str:
        return f"  ok  {self.name}" if self.passed else f"  NO  {self.name}\n      {self.message}"


@dataclass(frozen=True)
class Verdict:
    """Findings on a solution.

    :param exercise: its name.
    :param findings: one for each property that was looked at; only the last may have failed.
    :param n_properties: number of properties there are.
    :param seconds: from the start of the judging process to its end.
    """

    exercise: str
    findings: tuple[Finding, ...]
    n_properties: int
    seconds: float = 0.0

    @property
    def passed(self) -> bool:
        """Whether all properties were looked at, and hold."""
        return self.n_held == self.n_properties == len(self.findings)

    @property
    def n_held(self) -> int:
        """Number of properties that were seen to hold."""
        return sum(finding.passed for finding in self.findings)

    @property
    def first_failure(self) -> str:
        """Name and message of the property that does not hold; empty if there is none."""
        failures = [f"{one.name}: {one.message}" for one in self.findings if not one.passed]
        return failures[0] if failures else ""

    def __str__(self) -> str:
        """Return the last line of a check."""
        n_left = self.n_properties - len(self.findings)
        more = f" ({n_left} more to look at after that)" if n_left else ""
        return f"{self.exercise}: {'right' if self.passed else 'not yet' + more}"
