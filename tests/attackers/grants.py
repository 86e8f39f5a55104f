"""What somebody who writes to the database and has no key can still do, in the words of the guide's threat model."""

from __future__ import annotations

# of rows that decide
GONE = "take a row away, or spoil it: what it allowed is not allowed any more"
HOLD_GONE = "take away a hold: the purposes that it closed are open; the log has the reset or the code that made it"
REVOKED_BACK = "put back a token that was revoked, or its epoch: it counts for the rest of its life, a minute or a few"
COUNTER_BACK = (
    "put back a factor's count of signatures or a person's time-step: a copy of the key, or a code seen in the last 90 "
    "seconds, counts"
)
ATTEMPTS_GONE = "take away the counts of failed attempts: a pause ends early; the log has each attempt"
USED_BACK = (
    "put back a pass, a right or a recovery code that was used: it opens one enrolment more; the log has each use"
)
RULES = (GONE, HOLD_GONE, REVOKED_BACK, COUNTER_BACK, ATTEMPTS_GONE, USED_BACK)

# of the log
NUMBERS = "change `seq`, `refused` or `high` of a record that has its leaf: no body and no order of the log says it"
NEAR = "exchange the serial numbers of records of the same ten seconds: their order is that of their leaves"
MACS_UNJUDGED = "change a MAC of a record that has its leaf, or of the tree, where verify has no secret key to judge it"
PURGED_ID = "change the id in the leaf of a record that was purged: nothing has it any more"
COPIES = "change or take away the database's copy of a checkpoint that a later one covers"
LOG_RULES = (NUMBERS, NEAR, MACS_UNJUDGED, PURGED_ID, COPIES)
