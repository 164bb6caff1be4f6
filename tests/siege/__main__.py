"""`make siege`: every attack in turns until the time is over; counts, and a reproducer for each finding.

    python -m tests.siege                                  # ten minutes, a new seed
    python -m tests.siege --minutes 60 --seed 7
    python -m tests.siege --kind kill --seed 7 --only 12   # one case again

Each case is a function of (seed, number). Exit code 1 when something gave way.
"""

from __future__ import annotations

import argparse
import os
import random
import sys
import time
import warnings
from collections.abc import Iterator, Mapping

from tests.siege import binary, damaged, groups, runs, texts
from tests.siege.findings import Case, Finding, Tally

CASES: dict[str, Case] = {
    "kill": runs.kill,
    "disk": runs.disk,
    "model": damaged.model,
    "archive": damaged.archive,
    "lock": damaged.lock,
    "texts": texts.case,
    "mat5": binary.mat5,
    "mat7": binary.mat7,
    "sqlite": binary.sqlite,
    "video": binary.video,
    "dask": groups.dask,
    "torchrun": groups.torchrun,
    "remote": groups.remote,
}
# Cases a turn: programs take seconds, the others milliseconds.
TURN = {"kill": 2, "disk": 2, "model": 60, "archive": 200, "lock": 40, "texts": 300}
TURN |= {"mat5": 60, "mat7": 60, "sqlite": 60, "video": 30}
STORES = 50  # cases a turn, by tests.siege.stores


def siege(
    seconds: float, seed: int, kinds: Mapping[str, Case] | None = None, most: int | None = None
) -> dict[str, Tally]:
    """Attack in turns until the time is over; each kind has had a turn at least, unless time is over before.

    Parameters
    ----------
    most : cases of each kind; None: until the time is over.
    """
    kinds = CASES if kinds is None else kinds
    tallies = {kind: Tally() for kind in kinds}
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        before = sum(tally.cases for tally in tallies.values())
        for kind, case in kinds.items():
            tally = tallies[kind]
            for _ in range(TURN.get(kind, 1)):
                if time.monotonic() > until or (most is not None and tally.cases >= most):
                    break
                what = _tried(case, seed, tally.cases)
                if what:
                    tally.findings.append(Finding(kind, seed, tally.cases, " ".join(what.split())))
                tally.cases += 1
        if sum(tally.cases for tally in tallies.values()) == before:
            break
    return tallies


def _tried(case: Case, seed: int, number: int) -> str:
    try:
        return case(seed, number)
    except Exception as error:
        return f"{type(error).__name__}: {error}"


def _stores(seconds: float, seed: int) -> Iterator[tuple[int, list[object]]]:
    """Turns of the siege of stores, where that is there: cases, and findings that are lines by ``str``."""
    try:
        from tests.siege import stores
    except ImportError:
        return
    until, turn = time.monotonic() + seconds, 0
    while time.monotonic() < until:
        yield STORES, list(stores.siege(STORES, seed + turn))
        turn += 1


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=float(os.environ.get("MINUTES") or 10))
    parser.add_argument("--seed", type=int, default=os.environ.get("SEED") or None)
    parser.add_argument("--kind", choices=CASES)
    parser.add_argument("--only", type=int, help="one case of a kind")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    seed = random.SystemRandom().randrange(10**6) if options.seed is None else options.seed
    if options.only is not None:
        print(_tried(CASES[options.kind], seed, options.only) or "held")
        return 0
    kinds = {options.kind: CASES[options.kind]} if options.kind else CASES
    seconds = options.minutes * 60
    print(f"siege of {options.minutes:g} minutes, seed {seed}", flush=True)
    stores_share = 0.0 if options.kind else seconds / 5
    found = siege(seconds - stores_share, seed, kinds)
    lines = [str(finding) for tally in found.values() for finding in tally.findings]
    counts = {kind: tally.cases for kind, tally in found.items()}
    for cases, findings in _stores(stores_share, seed):
        counts["stores"] = counts.get("stores", 0) + cases
        lines += [str(finding) for finding in findings]
    for line in lines:
        print(line)
    print(", ".join(f"{kind} {count}" for kind, count in counts.items()))
    print(f"{sum(counts.values())} cases, seed {seed}: {len(lines)} findings")
    return 1 if lines else 0


if __name__ == "__main__":
    sys.exit(main())
