"""Frameworks and servers: the same app in each framework, the same suite over each server."""
