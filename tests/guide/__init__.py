"""The guide's pages do what they say: each block of code is run, or checked by a test that names it.

The first word behind the fence is the language, the second the block's name. Blocks are taken from top to bottom,
in a fresh folder a page, as a reader would:

========================  ==================================================================================
``` ```python ```         run in the page's one namespace; top-level ``await`` works, as in ``python -m asyncio``
``` ```python app.py ```  written to the folder and imported from there
``` ```sh ```             run by bash in the folder; ``stepup``, ``python`` and so on are those of the tests
``` ```json refusal ```   any other language, and ``python`` or ``sh`` with a plain name: checked by a test
                          of the page; a name with a dot is written to the folder as well
========================  ==================================================================================

Before the first block runs, the folder holds ``main.py`` of the page ``start.md`` and the ``secret.key`` that it
reads, so that a page may ``from main import stepup``. A page's own tests are in ``tests/guide/test_<page>.py``:

- the fixture ``ran`` runs the page and tells what became of it: ``ran.names``, ``ran.folder``, ``ran.outputs`` (what
  each ``sh`` block printed);
- ``@pytest.mark.block("refusal")`` claims a named block for a test, whose fixture ``blocks`` has its text by name;
- ``tests.guide.person.Person`` is somebody at a browser, with a passkey and an authenticator app.

``test_pages.py`` runs every page, and fails for a block that nobody checks, for a page that the index does not link to,
and for a link that leads nowhere. The order of the pages is the order of the links in ``demo_app/guide/index.md``;
other pages are linked as ``[Policy](policy.md#set-it)``.
"""
