"""StepUp and its parts: the only place where clock, store, ceremonies and audit log meet."""
