"""What came back from a server."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field


@dataclass
class Pulled:
    """What `pull` wrote, and what it did not.

    Attributes
    ----------
    there : tasks or pictures that the project has. written : those of them that are in the file.
    left_out : what was left out -> how often.
    """

    there: int = 0
    written: int = 0
    left_out: Counter[str] = field(default_factory=Counter)
