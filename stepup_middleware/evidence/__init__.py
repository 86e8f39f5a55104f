"""Evidence of one step-up that stands alone: the bundle over the transparency log, and its verification.

A bundle has the records of the step-up, for each a proof that it is in the tree of the log, and one signed checkpoint
of that tree. It needs one thing from elsewhere, whom to trust: the vkeys of the log and of its witnesses.
"""
