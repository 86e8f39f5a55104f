"""Evidence: bundles, checkpoints, receipts, exports and the commands around them."""
