"""One run of one contender: ``python -m benchmarks.contender MODULE:FUNCTION ARGUMENTS_AS_JSON``.

The function does its imports, takes the time itself (see :func:`timed`) and returns (things made, seconds).
"""

from __future__ import annotations

import json
import sys
from importlib import import_module


def main() -> None:
    module, _, name = sys.argv[1].partition(":")
    function = getattr(import_module(f"benchmarks.{module}"), name)
    count, seconds = function(**json.loads(sys.argv[2]))
    print(json.dumps({"count": count, "seconds": seconds}))


if __name__ == "__main__":
    main()
