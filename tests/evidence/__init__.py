"""Evidence: bundles, heads, receipts, exports and the commands around them."""
