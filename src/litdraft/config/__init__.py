"""The composition root: the only place, beside the entry points, that knows Hydra."""
