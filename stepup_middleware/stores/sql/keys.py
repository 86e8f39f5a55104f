"""The keys of MACs: which are in use, and which were ever ours."""

from __future__ import annotations

from stepup_middleware.stores.sealing import KEYS, MissingKeys

from .transaction import Transaction


async def check(transaction: Transaction) -> MissingKeys:
    """Say which keys in use the ring lacks, and note the ring: each id under the first key.

    A key is known as ours by a note that a later one made. A ring of which nothing that is kept knows any key is
    another installation's: then all are ours.
    """
    macs = transaction.macs
    used = [bytes(row[0]) for row in await transaction.fetch_all("mac_keys")]
    noted = [(bytes(id_), bytes(mac)) for id_, mac in await transaction.fetch_all("known_mac_keys")]
    known = {id_ for id_, mac in noted if KEYS.holds(macs, (id_, mac))}
    current = {id_ for id_, mac in noted if id_ in known and macs.is_current(mac)}
    missing = sorted(macs.missing(used))
    if missing and noted and not known and len(missing) == len(used):
        return MissingKeys(tuple(missing), ())
    for id_ in sorted({*known, *macs.key_ids} - current):
        await transaction.execute("put_mac_key", *KEYS.sealed(macs, (id_,)))
    ours = tuple(id_ for id_ in missing if id_ in known)
    return MissingKeys(ours, tuple(id_ for id_ in missing if id_ not in known))
