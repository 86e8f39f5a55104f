"""Where the configuration comes from."""

from __future__ import annotations

import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from demo_app.settings import Settings, from_arguments


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (
        "AXIS_HOST",
        "AXIS_PORT",
        "AXIS_DATABASE",
        "AXIS_TABLES",
        "AXIS_ORIGIN",
        "AXIS_SECRET_KEYS",
        "AXIS_LOG_KEY",
        "AXIS_TRUSTED_PROXIES",
    ):
        monkeypatch.delenv(name, raising=False)


def start(folder: Path, *arguments: str) -> Settings:
    return from_arguments(["--database", str(folder / "axis.db"), *arguments])


def test_without_configuration_a_key_is_made_once_and_only_its_owner_reads_it(tmp_path: Path) -> None:
    first, second = start(tmp_path), start(tmp_path)
    assert first.secret_keys == second.secret_keys
    assert len(first.secret_keys[0]) == 64
    assert stat.S_IMODE((tmp_path / "axis.key").stat().st_mode) == 0o600
    assert sorted(path.name for path in tmp_path.iterdir()) == ["axis.key", "axis.log.key"]


def test_starts_at_the_same_moment_end_up_with_one_key(tmp_path: Path) -> None:
    with ThreadPoolExecutor(16) as threads:
        keys = set(threads.map(lambda _: start(tmp_path).secret_keys, range(64)))
    assert len(keys) == 1


def test_keys_of_the_environment_are_taken_in_their_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AXIS_SECRET_KEYS", f"{'n' * 40},{'o' * 40}")
    monkeypatch.setenv("AXIS_LOG_KEY", str(tmp_path / "log.key"))
    (tmp_path / "log.key").write_text("a log key")
    settings = start(tmp_path)
    assert (settings.secret_keys, settings.log_key) == (("n" * 40, "o" * 40), "a log key")
    assert [path.name for path in tmp_path.iterdir()] == ["log.key"]


def test_a_dsn_names_the_step_up_store_and_the_tables_stay_in_a_file(tmp_path: Path) -> None:
    dsn = "postgresql://axis:secret@localhost/axis"
    settings = from_arguments(["--database", dsn, "--tables", str(tmp_path / "tables.db")])
    assert (settings.postgres, settings.database) == (dsn, tmp_path / "tables.db")
    assert "secret" not in repr(settings)
    assert from_arguments(["--database", str(tmp_path / "axis.db")]).postgres is None


def test_keys_are_in_no_text_of_the_settings(tmp_path: Path) -> None:
    settings = start(tmp_path)
    assert settings.secret_keys[0] not in repr(settings)
    assert "PRIVATE" not in repr(settings)


def test_the_address_is_shown_by_name_whatever_the_host_is(tmp_path: Path) -> None:
    assert start(tmp_path, "--host", "0.0.0.0", "--port", "9001").origin == "http://localhost:9001"  # noqa: S104 - text only


def test_an_origin_behind_a_proxy_makes_cookies_secure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AXIS_ORIGIN", "https://axis.example")
    settings = start(tmp_path)
    assert (settings.domain, settings.secure) == ("axis.example", True)
    assert settings.step_up_database == tmp_path / "axis-stepup.db"
