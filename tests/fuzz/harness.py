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
    site = Site() if name == "request" else None
    check = TARGETS[name] if site is None else site.check

    def one(data: bytes) -> None:
        try:
            check(bytes(data))
        except BaseException:
            if site is not None:
                site.close()  # its threads would keep the process
            raise

    atheris.Setup(sys.argv, one)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
