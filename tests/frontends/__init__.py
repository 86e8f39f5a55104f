"""Real front ends, built by npm: ``python -m tests.frontends``."""
