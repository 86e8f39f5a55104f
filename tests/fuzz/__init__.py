"""Hostile input at every door: what may never happen, in ``targets``, and the engine that looks for it."""
