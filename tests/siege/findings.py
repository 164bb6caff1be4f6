"""What a siege gives back: findings, each with what repeats it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Finding:
    """Something that gave way.

    Attributes
    ----------
    kind : of attack. seed, number : repeat it. what : one line.
    """

    kind: str
    seed: int
    number: int
    what: str

    def __str__(self) -> str:
        return (
            f"python -m tests.siege --kind {self.kind} --seed {self.seed} --only {self.number}: {self.what}"
        )


# (seed, number) -> "" or what gave way. A case is a function of the two.
Case = Callable[[int, int], str]


@dataclass
class Tally:
    """How many cases of a kind were run, and what was found."""

    cases: int = 0
    findings: list[Finding] = field(default_factory=list)
