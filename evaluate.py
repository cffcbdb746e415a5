"""Measure what a drafter buys: python evaluate.py run=outputs/..., as `litdraft evaluate`."""

import sys

from litdraft.cli.main import main

if __name__ == "__main__":
    main(["evaluate", *sys.argv[1:]])
