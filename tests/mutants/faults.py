"""What is listed: the deliberate faults, each with its place and the tests that must notice it."""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from .places import changed

ROOT = Path(__file__).parent.parent.parent


@dataclass(frozen=True, slots=True)
class Mutant:
    """A fault: ``old`` stands once at the place ``at`` and is replaced by ``new``; one of ``tests`` must then fail."""

    name: str
    at: str
    old: str
    new: str
    tests: tuple[str, ...]

    def applied_to(self, package: Path) -> tuple[Path, str]:
        """Return the file that has the fault's place, and its text with the fault.

        Raises ``ValueError`` when the place is not there, or not one.
        """
        try:
            return changed(package, at=self.at, old=self.old, new=self.new)
        except ValueError as error:
            raise ValueError(f"{self.name}: {error}") from None


def listed(paths: Sequence[Path] | None = None) -> list[Mutant]:
    """Return the faults of some lists, or of all that lie beside the tests."""
    entries = [
        entry
        for path in paths or sorted((ROOT / "tests").rglob("mutants.toml"))
        for entry in tomllib.loads(path.read_text(encoding="utf-8"))["mutant"]
    ]
    return [Mutant(**{**entry, "tests": tuple(entry["tests"])}) for entry in entries]
