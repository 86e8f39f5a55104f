"""Forms that a rule's ``when`` has read, and what each framework reads of the same bytes.

``python -m tests.differential.fields FRAMEWORK [--count N] [--seed S]`` sends spellings of a form to an app whose
only rule has a condition that never asks. Where the app is reached, every field that its framework reads must be one
that the condition saw; what the condition could not read never reaches the app, for nobody is signed in.
"""
