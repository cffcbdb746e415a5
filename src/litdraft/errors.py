"""The one exception whose message is for the user."""

from __future__ import annotations


class UserError(Exception):
    """Bad input, in one sentence: what was given, what was expected, what to do.

    Entry points print the sentence and exit with status 2. Any other exception is a bug and keeps
    its traceback.
    """
