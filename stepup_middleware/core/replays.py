"""Which presentations of a spent token are logged at once, and which are counted.

The owner's own retry must not hide the thief who comes a moment later, and a flood must not fill the log. So a row
remembers who has presented it after its redemption: the first presentation of each is logged, up to a bound; of all
others, each power of ten is.
"""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256

from .canonical import canonical_json

MOST_REMEMBERED = 16  # presenters of one token
DIGEST_BYTES = 16  # of each digest: enough that no other presenter has the same


@dataclass(frozen=True, slots=True)
class Replays:
    """How often a token was presented after its redemption, and the digests of the presenters that were logged."""

    count: int = 0
    presenters: bytes = b""

    def known(self, presenter: bytes) -> bool:
        """Whether a presenter was logged before."""
        told = self.presenters
        return any(told[at : at + DIGEST_BYTES] == presenter for at in range(0, len(told), DIGEST_BYTES))

    def and_of(self, presenter: bytes) -> Replay:
        """Return it with one more presentation, by the digest of its presenter."""
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
        """Whether it is logged."""
        return self.new_presenter or worth_logging(self.after.count)


def presenter_digest(workspace_id: str, subject_id: str, session: str, ip: str) -> bytes:
    """Return a presenter as a row remembers it: another person, session or address is another presenter."""
    text = canonical_json([workspace_id, subject_id, session, ip])
    return sha256(text.encode("utf-8", "surrogatepass")).digest()[:DIGEST_BYTES]


def worth_logging(count: int) -> bool:
    """Whether the n-th of several events of a kind is logged: the first, and then each power of ten."""
    return count >= 1 and str(count).strip("0") == "1"
