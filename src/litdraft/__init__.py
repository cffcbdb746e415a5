"""Train a small drafter for your large language model, and measure honestly what it buys you."""

from __future__ import annotations

__version__ = "0.1.0"
