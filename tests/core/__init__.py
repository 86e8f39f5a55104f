"""The rules, tested without any I/O."""
