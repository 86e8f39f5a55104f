"""Figures and traces for the systems that watch an app: sinks for ``on_event``, each an extra of its own."""
