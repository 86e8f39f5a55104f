"""The transparency log: a Merkle tree over records, signed checkpoints, and witnesses that cosign them.

The formats are published ones: RFC 9162 §2.1 for the tree and its proofs, C2SP's signed-note, tlog-checkpoint,
tlog-cosignature, tlog-tiles and tlog-witness for the rest. So other people's verifiers and witnesses read them.
"""
