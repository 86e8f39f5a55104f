"""Witnesses (C2SP tlog-witness): a service that cosigns the checkpoints of logs, and the client that asks for it.

A witness remembers the last checkpoint of each log and cosigns only what grew from it. So a log cannot show two
histories, not even with its own keys.
"""
