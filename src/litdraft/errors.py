"""The one exception that a user is meant to read."""

from __future__ import annotations


class UserError(Exception):
    """Bad input, told in one sentence: what was given, what was expected, what to do.

    Entry points print the sentence and exit with status 2; anything else is a bug and
    keeps its traceback.
    """
