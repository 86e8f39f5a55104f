"""One guarded request: what came, what of it is bound, and what is decided."""
