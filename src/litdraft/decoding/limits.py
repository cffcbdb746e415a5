"""Limits of decoding that the command line also has to know."""

LONGEST_DRAFT = 8  # the largest k that k=auto tries
