"""Deliberate faults that the tests must notice: ``python -m tests.mutants [--jobs N] [WORD ...]``.

The files ``mutants.toml`` beside the tests of an area list them. An entry says where the fault is made (``at``),
what stands there (``old``), what takes its place (``new``), and the tests that must then fail:

- ``at`` is a function, class, method or module-level name of the package, or a named statement of an SQL file:
  ``token_expiry``, ``TokenRow.expiry``, ``sqlite.redeem``. Any parts of the path may stand before it, in order, to
  tell places of one name apart (``decisions.token_expiry``). Code may move to another module without its entry.
- ``old`` is compared word by word, so that a new line break, indentation or comment changes nothing. It must stand
  at exactly one of the places that ``at`` names, once.
"""
