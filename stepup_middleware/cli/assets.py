"""``stepup assets``: the tags of a page's head with their integrity, and the files, to be served elsewhere."""

from __future__ import annotations

import argparse

from stepup_middleware.assets import bundled

from .output import table

PAGE = ("stepup.css", "htmx.min.js", "stepup.js")  # what pages of an app load; the others are for the library's own


def assets(options: argparse.Namespace) -> int:
    """Print what each asset is called and what its integrity is (SRI §3.1), and the tags; write the files if asked."""
    base = options.base.rstrip("/")
    found = bundled()
    table(("ASSET", "NAME", "INTEGRITY"), [(name, found[name].hashed_name, found[name].integrity) for name in found])
    print()
    for name in PAGE:
        asset = found[name]
        url = f"{base}/static/{asset.hashed_name}"
        rest = f'integrity="{asset.integrity}" crossorigin="anonymous"'
        is_style = name.endswith(".css")
        print(
            f'<link rel="stylesheet" href="{url}" {rest}>'
            if is_style
            else f'<script src="{url}" {rest} defer></script>'
        )
    if options.output is not None:
        options.output.mkdir(parents=True, exist_ok=True)
        for asset in found.values():
            (options.output / asset.hashed_name).write_bytes(asset.content)
    return 0
