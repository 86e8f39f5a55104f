"""Which presentations of a spent token are told at once, and which are counted.

The owner's own retry must not hide the thief who comes a moment later, and a flood must not fill the log. So a row
remembers who has presented it after its redemption: each presenter is told the first time, up to a bound; for
the rest, and for those who come again, each power of ten of all replays is.
"""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256

from .canonical import canonical_json

MOST_REMEMBERED = 16  # presenters of one token
DIGEST_BYTES = 16  # of each: nobody finds another with the digest of one that was told


@dataclass(frozen=True, slots=True)
class Replays:
    """How often a token was presented after its redemption, and the digests of the presenters that were told."""

    count: int = 0
    presenters: bytes = b""

    def known(self, presenter: bytes) -> bool:
        """Whether a presenter was told before."""
        told = self.presenters
        return any(told[at : at + DIGEST_BYTES] == presenter for at in range(0, len(told), DIGEST_BYTES))

    def and_of(self, presenter: bytes) -> Replay:
        """Return what becomes of it with one more presentation, by the digest of its presenter."""
        full = len(self.presenters) >= MOST_REMEMBERED * DIGEST_BYTES
        new = not full and not self.known(presenter)
        after = Replays(self.count + 1, self.presenters + presenter if new else self.presenters)
        return Replay(after, new_presenter=new)


NONE = Replays()


@dataclass(frozen=True, slots=True)
class Replay:
    """One presentation of a spent token: what is remembered with it, and whether its presenter is a new one."""

    after: Replays
    new_presenter: bool

    @property
    def told(self) -> bool:
        """Whether the log tells of it."""
        return self.new_presenter or worth_logging(self.after.count)


def presenter_digest(workspace_id: str, subject_id: str, session: str, ip: str) -> bytes:
    """Return a presenter as a row remembers it: another person, session or address is another presenter."""
    text = canonical_json([workspace_id, subject_id, session, ip])
    return sha256(text.encode("utf-8", "surrogatepass")).digest()[:DIGEST_BYTES]


def worth_logging(count: int) -> bool:
    """Whether the n-th of things alike is logged: the first, and then each power of ten."""
    return count >= 1 and str(count).strip("0") == "1"
