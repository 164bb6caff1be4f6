"""One run of one contender: ``python -m benchmarks.contender MODULE:FUNCTION ARGUMENTS_AS_JSON``.

The function does its imports, starts a ``Timer``, and returns (things made, what the timer read).
"""

from __future__ import annotations

import json
import sys
from importlib import import_module


def main() -> None:
    module, _, name = sys.argv[1].partition(":")
    function = getattr(import_module(f"benchmarks.{module}"), name)
    count, (seconds, cpu_before) = function(**json.loads(sys.argv[2]))
    print(json.dumps({"count": count, "seconds": seconds, "cpu_before": cpu_before}))


if __name__ == "__main__":
    main()
