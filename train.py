"""Train a drafter: python train.py drafter=lstm k=3, the same as `litdraft train`."""

import sys

from litdraft.cli.main import main

if __name__ == "__main__":
    main(["train", *sys.argv[1:]])
