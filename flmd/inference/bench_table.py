"""What `flmd bench` measured: rows, the conditions they were measured in, and both as JSON and Markdown."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

from flmd.inference import latency


@dataclass(frozen=True)
class Row:
    """One contender in one setting. Times are of a call, milliseconds; a call is ``batch`` faces."""

    part: str
    by: str
    batch: int
    threads: int
    calls: int
    median_ms: float
    p95_ms: float
    least_ms: float
    cpu_ms: float
    faces_per_second: float

    @property
    def face_ms(self) -> float:
        """Of one face, by the median."""
        return self.median_ms / self.batch


@dataclass
class Bench:
    """All that was measured. ``notes``: what a reader should know, a sentence each."""

    rows: list[Row] = field(default_factory=list)
    conditions: dict[str, Any] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        rows = [{**asdict(row), "face_ms": row.face_ms} for row in self.rows]
        return {"conditions": self.conditions, "rows": rows, "notes": self.notes}

    def markdown(self) -> str:
        """A table, the conditions and the notes."""
        times = ("median", "p95", "least", "CPU")
        head = ["what", "by", "faces a call", "threads", *(f"{t}, ms" for t in times), "ms a face", "faces/s"]
        lines = [f"| {' | '.join(head)} |", "|---|---|" + "---:|" * (len(head) - 2)]
        for row in self.rows:
            cells = [row.part, row.by, str(row.batch), str(row.threads)]
            for number in (row.median_ms, row.p95_ms, row.least_ms, row.cpu_ms, row.face_ms):
                cells.append(f"{number:.3f}")
            lines.append(f"| {' | '.join(cells)} | {row.faces_per_second:,.0f} |")
        c = self.conditions
        packages = ", ".join(f"{name} {number}" for name, number in c["versions"].items())
        lines += ["", f"{c['cpu']}, {c['cores']} cores; {packages}; Python {c['python']}; flmd {c['flmd']}."]
        lines += [
            f"{c['seconds']:g} s for each row, in {latency.TURNS} turns; load of the machine {c['load'][0]} "
            f"before, {c['load'][1]} after. {c['pictures']}.",
        ]
        lines += ["", *(f"- {note}" for note in self.notes)] if self.notes else []
        return "\n".join(lines) + "\n"
