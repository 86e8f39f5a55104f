"""Several prompts answered as one question, and what the challenge of such an answer commits to.

Each prompt's description stands in the challenge as a hash with a salt of its own. So the evidence of one prompt has
its description and salt and the hashes of all: it verifies alone, and tells nothing of the others but how many they
were. The total that was shown stands there likewise, with a salt that follows from the salts of all: who has the
evidence of every one can tell it, nobody with less.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256

from .binding import Details, check_details
from .canonical import canonical_json
from .challenge import NONCE_BYTES, describe
from .prompts import Prompt

MOST_PROMPTS = 50  # more than that nobody reads before they confirm it
SALT_BYTES = 32
HASH_BYTES = 32

Total = tuple[str, str]  # label and text, as the person reads them
Totals = Mapping[str, Callable[[Sequence[Details], str], Total | None]]
"""By purpose: what makes the total of the details that are shown, in their language. The same always give the same."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchItem:
    """What the log keeps with the proof of one prompt of several: its salt, the hashes of all, the total's hash."""

    salt: bytes
    hashes: tuple[bytes, ...]
    total: bytes

    def commits_to(self, description: bytes) -> bool:
        """Whether this description is one of those, in one place."""
        return self.hashes.count(item_hash(self.salt, description)) == 1


def item_hash(salt: bytes, description: bytes) -> bytes:
    """Return the hash of a canonical description with its salt."""
    return sha256(b"stepup-batch-item-v1\0" + salt + description).digest()


def total_hash(salts: Sequence[bytes], total: Total | None) -> bytes:
    """Return the hash of the total that was shown, or of none, with the salts of all prompts in their order."""
    salt = sha256(b"stepup-batch-total-salt-v1\0" + b"".join(salts)).digest()
    return sha256(b"stepup-batch-total-v1\0" + salt + canonical_json(total).encode()).digest()


def commit_to_all(nonce: bytes, hashes: Sequence[bytes], total: bytes) -> bytes:
    """Return the 32-byte challenge of a nonce, the hashes of prompts in their order, and the hash of their total.

    Raises ``ValueError`` for a nonce of another length.
    """
    if len(nonce) != NONCE_BYTES:
        raise ValueError(f"the nonce has {NONCE_BYTES} bytes")
    return sha256(b"stepup-batch-challenge-v1\0" + nonce + total + b"".join(hashes)).digest()


@dataclass(frozen=True, slots=True)
class BatchCommitment:
    """The challenge of these prompts and this total. ``secret``: 32 random bytes, which the log never keeps.

    Nonce and salts follow from the secret, so that a store keeps what it keeps for a single prompt.
    """

    secret: bytes
    prompts: tuple[Prompt, ...]
    total: Total | None

    @property
    def nonce(self) -> bytes:
        """What is random in the challenge and kept with the proof."""
        return self._derived("nonce")

    def salt(self, prompt: Prompt) -> bytes:
        """Return the salt of a prompt."""
        return self._derived(f"salt:{prompt.id}")

    def _derived(self, name: str) -> bytes:
        return hmac.digest(self.secret, b"stepup-batch-v1\0" + name.encode(), "sha256")

    def hashes(self) -> tuple[bytes, ...]:
        """Return the hash of each prompt, in their order."""
        return tuple(item_hash(self.salt(prompt), describe(prompt.description())) for prompt in self.prompts)

    def _total(self) -> bytes:
        return total_hash([self.salt(prompt) for prompt in self.prompts], self.total)

    def challenge(self) -> bytes:
        """Return the 32 bytes that the authenticator signs."""
        return commit_to_all(self.nonce, self.hashes(), self._total())

    def items(self) -> dict[str, BatchItem]:
        """Return what is kept with the proof of each prompt, by its id."""
        hashes, total = self.hashes(), self._total()
        return {prompt.id: BatchItem(salt=self.salt(prompt), hashes=hashes, total=total) for prompt in self.prompts}


def question_of(prompt: Prompt) -> tuple[object, ...]:
    """Return what prompts must have in common to be one question.

    It is the person and who acts for them, their session, their address, the purpose, the requirement, and the words
    that are shown, which are signed with each.
    """
    return (
        prompt.workspace_id,
        prompt.subject_id,
        prompt.session,
        prompt.actor,
        prompt.client,
        prompt.ip,
        prompt.purpose,
        prompt.requirement,
        prompt.title,
        prompt.consequence,
        prompt.locale,
    )


def total_of(prompts: Sequence[Prompt], totals: Totals) -> Total | None:
    """Return the total of prompts of one question, None where the app gives none.

    Raises ``TypeError`` for anything but a label and a text.
    """
    make = totals.get(prompts[0].purpose)
    made = None if make is None else make([prompt.details for prompt in prompts], prompts[0].locale)
    return None if made is None else check_details([made])[0]
