"""The library over HTTP: a real app, a real store, real keys."""
