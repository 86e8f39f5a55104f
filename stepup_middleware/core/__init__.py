"""The rules, without I/O: values in, values out, and ``now`` is always an argument."""
