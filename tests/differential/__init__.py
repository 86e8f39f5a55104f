"""Two requests that the library counts as one are one to the framework as well.

A proof is bound to a request as it came; the framework reads that request by rules of its own. So the suite makes
pairs of requests, lets the library say which of them it counts as one (``BoundRequest``), and compares what an
endpoint of each framework was handed: route, parameters, method, path, query, headers, fields, files, bytes.

``python -m tests.differential [--pairs N] [--sockets N] [FRAMEWORK ...]`` prints what it did and the count of
differences; the exit status is 1 when there is one.
"""
