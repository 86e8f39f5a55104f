"""AxisSynapse: a people, equity and compliance platform in which all sixteen purposes can be tried.

Start it with ``python -m demo_app``. It uses the public names of ``stepup_middleware`` and its SQLite store.
"""
