"""Runs one target under atheris: ``python -m tests.fuzz.harness TARGET [options of libFuzzer] [corpus ...]``."""

from __future__ import annotations

import sys

import atheris


def main() -> None:
    """Instrument the package, and hand the target to the engine, which never returns."""
    name = sys.argv.pop(1)
    with atheris.instrument_imports(include=["stepup_middleware"]):
        from tests.fuzz.requests import Site
        from tests.fuzz.targets import TARGETS
    check = Site().check if name == "request" else TARGETS[name]

    def one(data: bytes) -> None:
        check(bytes(data))

    atheris.Setup(sys.argv, one)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
