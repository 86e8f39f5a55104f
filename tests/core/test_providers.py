"""Providers: a list of names that is well formed, sorted, and decides nothing."""

from __future__ import annotations

import re

from stepup_middleware.core.providers import PROVIDERS, provider_of


def test_each_line_of_the_list_is_an_aaguid_as_the_log_writes_it_and_a_name() -> None:
    for aaguid, name in PROVIDERS.items():
        assert re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", aaguid), aaguid
        assert name == name.strip()
        assert name.isprintable()
    assert list(PROVIDERS.items()) == sorted(PROVIDERS.items(), key=lambda line: (line[1].lower(), line[0]))
    assert len(PROVIDERS) > 60


def test_an_unknown_aaguid_and_the_empty_one_have_no_name() -> None:
    assert provider_of("ea9b8d66-4d01-1d21-3ce4-b6b48cb575d4") == "Google Password Manager"
    assert provider_of("00000000-0000-0000-0000-000000000000") == ""
    assert provider_of("01020304-0102-0304-0102-030401020304") == ""
