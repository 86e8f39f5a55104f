"""What was off, in words of a person: the flags of an event, and what was found altered in the database."""

from __future__ import annotations

from demo_app.languages import Texts, marked

FLAGS = {
    "redeemed_before": marked("it had been used before"),
    "wrong_user": marked("it is another person's"),
    "wrong_session": marked("it is of another session"),
    "wrong_workspace": marked("it is of another workspace"),
    "ip_mismatch": marked("it came from another address"),
    "state_lost": marked("the store has lost what belongs to it"),
    "revoked": marked("it had been revoked"),
    "expired": marked("it had expired"),
    "wrong_purpose": marked("it is for another purpose"),
    "wrong_request": marked("it is for another request"),
    "wrong_details": marked("it is for other details"),
    "factor_gone": marked("the factor has been removed"),
    "factor_insufficient": marked("the factor is too weak for this"),
    "on_hold": marked("the person is on hold"),
    "failure_cluster": marked("one of many failures of this purpose"),
}
_RECORD = marked("A record of the audit log was written or altered by somebody else. It gets no place in the log.")
_TREE = marked("The tree over the audit log was altered by somebody else.")
_ROW = marked("A row that decides something was written or altered by somebody else. It does not count.")
ALTERED = {
    "record_mac": _RECORD,
    "record_entry": _RECORD,
    "state_mac": _TREE,
    "state_tiles": _TREE,
    "tree_shrank": marked("Records of the audit log are missing: an older copy was put back, or they were removed."),
    "tree_differs": marked("The audit log is not the one that was signed."),
    "tree_of_another_log": marked("The audit log in the database is of another log key than this app's."),
    "tree_missing": marked("The tree over the audit log is gone."),
    "leaves_ahead": marked(
        "Somebody else wrote into the tree over the audit log. No record gets its place until that is taken away."
    ),
    "checkpoint": marked("A checkpoint in the database was not signed with the keys of this log."),
    "mac_key": marked("There are rows that were made with a secret key which this app does not have."),
}


def off(texts: Texts, flag: str) -> str:
    """Return what a flag says; for one that an app's own code added, the flag itself."""
    return texts(FLAGS[flag]) if flag in FLAGS else flag


def altered(texts: Texts, reason: str) -> str:
    """Return what was found altered, by the reason of a ``DATABASE_ALTERED``: a word, or the name of a table."""
    return texts(ALTERED.get(reason, _ROW))
