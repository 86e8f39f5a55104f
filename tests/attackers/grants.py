"""What somebody who writes to the database and has no key can still do, in the words of the guide's threat model."""

from __future__ import annotations

# of rows that decide
GONE = "take a row away, or spoil it: what it allowed is not allowed any more"
REVOKED_BACK = "put back a token that was revoked, or its epoch: it counts for the rest of its life, a minute or a few"
COUNTER_BACK = (
    "put back a factor's count of signatures or a person's time-step: a copy of the key, or a code seen in the last 90 "
    "seconds, counts"
)
ATTEMPTS_GONE = (
    "take away the counts of failed attempts, those of wrong passes too: a pause ends early, a pass that they closed "
    "is open; the log has each attempt"
)
UNTOLD = (
    "take away, or put off, an alert or a notice that a sink is still to be told: it was told at once, unless the sink "
    "failed or the process died; the log has each"
)
WAITS = (
    "move the epoch, the counts of a flood or the day of the last purge: somebody waits or is asked once more, a "
    "session asks for more prompts, a purge is refused, or takes by a wrong clock what the database's own clock calls "
    "over"
)
RULES = (GONE, REVOKED_BACK, COUNTER_BACK, ATTEMPTS_GONE, UNTOLD, WAITS)

# of the log
NUMBERS = "change `seq`, `refused` or `high` of a record that has its leaf: no body and no order of the log says it"
NEAR = "exchange the serial numbers of records of the same ten seconds: their order is that of their leaves"
MACS_UNJUDGED = "change a MAC of a record that has its leaf, or of the tree, where verify has no secret key to judge it"
PURGED_ID = "change the id in the leaf of a record that was purged: nothing has it any more"
COPIES = "change or take away the database's copy of a checkpoint that a later one covers"
LOG_RULES = (NUMBERS, NEAR, MACS_UNJUDGED, PURGED_ID, COPIES)
