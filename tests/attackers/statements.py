"""Every statement that a role of PostgreSQL may try: each verb, on each table and column that a database has."""

# ruff: noqa: S608 - the names are those of the schema, and the values those of the test

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .alterations import other_values
from .raw import Row

Schema = Mapping[str, Sequence[str]]  # columns by table


@dataclass(frozen=True)
class Statement:
    """What is tried, by its verb; ``table`` and ``column`` are empty where it is about none."""

    verb: str
    text: str
    table: str = ""
    column: str = ""
    row: Row | None = None  # copied into the table from the client's side, in place of the text


def literal(value: Any) -> str:
    """Return a value as SQL has it."""
    match value:
        case None:
            return "NULL"
        case bool():
            return str(value).lower()
        case int():
            return str(value)
        case bytes():
            return f"'\\x{value.hex()}'::bytea"
        case _:
            return "'" + str(value).replace("'", "''") + "'"


def of_rows(rows: Mapping[str, Sequence[Row]], keys: Schema, chance: random.Random) -> Iterator[Statement]:
    """Yield what changes the rows of each table. ``keys`` are the columns of its primary key."""
    for table, found in rows.items():
        for row in found[:1]:
            here = " AND ".join(f"{name} = {literal(row[name])}" for name in keys[table])
            yield from _inserts(table, row, keys[table], chance)
            for column, value in row.items():
                others = [new for new in other_values(value, [each[column] for each in found], chance) if new != value]
                for new in others:
                    yield from _updates(
                        table, column, new, here, every_form=new is others[0], row=row, keys=keys[table]
                    )
            yield from _deletes(table, here)
        yield from _of_table(table)


def _inserts(table: str, row: Row, keys: Sequence[str], chance: random.Random) -> Iterator[Statement]:
    for by in (1, -(10**6), 10**9):
        named = dict(row)
        for key in {*keys, *({"id", "record_id", "credential_id", "token", "origin"} & row.keys())}:
            if key == "id" and table == "meta":
                continue
            named[key] = _unlike(row[key], by, chance)
        names, values = ", ".join(named), ", ".join(map(literal, named.values()))
        into = f"INSERT INTO stepup.{table} ({names}) OVERRIDING SYSTEM VALUE"
        yield Statement("INSERT", f"{into} VALUES ({values})", table)
    yield Statement("INSERT", f"INSERT INTO stepup.{table} SELECT * FROM stepup.{table}", table)
    yield Statement("INSERT", f"INSERT INTO stepup.{table} DEFAULT VALUES", table)
    yield Statement("WITH", f"WITH made AS ({into} VALUES ({values}) RETURNING 1) SELECT * FROM made", table)
    yield Statement("MERGE", f"MERGE INTO stepup.{table} USING (SELECT 1) AS x ON false WHEN NOT MATCHED THEN "
                             f"INSERT ({names}) OVERRIDING SYSTEM VALUE VALUES ({values})", table)  # fmt: skip
    yield Statement("ON CONFLICT", f"{into} VALUES ({', '.join(map(literal, row.values()))}) ON CONFLICT DO NOTHING",
                    table)  # fmt: skip
    yield Statement("COPY", f"COPY stepup.{table} FROM STDIN", table, row=named)
    yield Statement("COPY", f"COPY stepup.{table} FROM PROGRAM 'echo'", table)
    yield Statement("COPY", f"COPY stepup.{table} FROM '/etc/hostname'", table)
    yield Statement("COPY", f"COPY stepup.{table} TO PROGRAM 'cat'", table)
    yield Statement("COPY", f"COPY stepup.{table} TO '/tmp/stepup-{table}'", table)


def _updates(
    table: str, column: str, new: Any, here: str, *, every_form: bool, row: Row, keys: Sequence[str]
) -> Iterator[Statement]:
    update = f"UPDATE stepup.{table} SET {column} = {literal(new)}"
    forms = {"UPDATE": f"{update} WHERE {here}"}
    if every_form:
        names, values = ", ".join(row), ", ".join(map(literal, row.values()))
        forms |= {
            "WITH": f"WITH done AS ({update} WHERE {here} RETURNING 1) SELECT * FROM done",
            "ON CONFLICT": f"INSERT INTO stepup.{table} ({names}) OVERRIDING SYSTEM VALUE VALUES ({values}) "
            f"ON CONFLICT ({', '.join(keys)}) DO UPDATE SET {column} = {literal(new)}",
            "MERGE": f"MERGE INTO stepup.{table} AS t USING (SELECT 1) AS x ON {here} WHEN MATCHED THEN "
            f"UPDATE SET {column} = {literal(new)}",
            "PREPARE": f"PREPARE mine AS {update} WHERE {here}; EXECUTE mine",
            "DO": f"DO $do$ BEGIN EXECUTE {literal(f'{update} WHERE {here}')}; END $do$",
            "FUNCTION": f"CREATE FUNCTION pg_temp.mine() RETURNS void LANGUAGE sql SECURITY DEFINER AS $do$ {update} "
            f"WHERE {here} $do$; SELECT pg_temp.mine()",
            "CURSOR": f"BEGIN; DECLARE mine CURSOR FOR SELECT * FROM stepup.{table} WHERE {here} FOR UPDATE; "
            f"FETCH mine; {update} WHERE CURRENT OF mine; COMMIT",
            "VIEW": f"CREATE TEMP VIEW mine AS SELECT * FROM stepup.{table}; "
            f"UPDATE mine SET {column} = {literal(new)} WHERE {here}",
            "session_replication_role": f"SET session_replication_role = replica; {update} WHERE {here}",
            "search_path": f"SET search_path = pg_temp, stepup; UPDATE {table} SET {column} = {literal(new)}",
        }
    for verb, text in forms.items():
        yield Statement(verb, text, table, column)


def _deletes(table: str, here: str) -> Iterator[Statement]:
    delete = f"DELETE FROM stepup.{table}"
    forms = {
        "DELETE": [delete, f"{delete} WHERE {here}", f"DELETE FROM stepup.{table} AS t USING stepup.meta"],
        "WITH": [f"WITH gone AS ({delete} WHERE {here} RETURNING 1) SELECT * FROM gone"],
        "MERGE": [f"MERGE INTO stepup.{table} AS t USING (SELECT 1) AS x ON {here} WHEN MATCHED THEN DELETE"],
        "PREPARE": [f"PREPARE mine AS {delete} WHERE {here}; EXECUTE mine"],
        "DO": [f"DO $do$ BEGIN {delete} WHERE {here}; END $do$"],
        "FUNCTION": [f"CREATE FUNCTION pg_temp.mine() RETURNS void LANGUAGE sql SECURITY DEFINER AS $do$ {delete} $do$"
                     "; SELECT pg_temp.mine()"],
        "CURSOR": [f"BEGIN; DECLARE mine CURSOR FOR SELECT * FROM stepup.{table} WHERE {here} FOR UPDATE; FETCH mine; "
                   f"{delete} WHERE CURRENT OF mine; COMMIT"],
        "session_replication_role": [f"SET session_replication_role = replica; {delete} WHERE {here}"],
    }  # fmt: skip
    for verb, texts in forms.items():
        for text in texts:
            yield Statement(verb, text, table)


def _of_table(table: str) -> Iterator[Statement]:
    name = f"stepup.{table}"
    for text in (name, f"{name} CASCADE", f"ONLY {name} RESTART IDENTITY"):
        yield Statement("TRUNCATE", f"TRUNCATE {text}", table)
    for text in (
        "DISABLE TRIGGER ALL", "DISABLE TRIGGER USER", "DISABLE RULE x", "OWNER TO CURRENT_USER",
        "ADD COLUMN mine text",
        "ALTER COLUMN mac DROP NOT NULL", "DROP COLUMN mac", "ENABLE ROW LEVEL SECURITY", "RENAME TO mine",
        "SET SCHEMA public", "SET UNLOGGED", "REPLICA IDENTITY NOTHING", "ADD CONSTRAINT mine CHECK (false) NOT VALID",
        f"DROP CONSTRAINT {table}_pkey", "SET (autovacuum_enabled = off)", "NO FORCE ROW LEVEL SECURITY",
        "SET TABLESPACE pg_default", "CLUSTER ON x",
    ):  # fmt: skip
        yield Statement("ALTER TABLE", f"ALTER TABLE {name} {text}", table)
    for verb, text in (
        ("DROP", f"DROP TABLE {name} CASCADE"),
        ("CREATE TRIGGER", f"CREATE TRIGGER mine BEFORE INSERT ON {name} FOR EACH ROW "
                           "EXECUTE FUNCTION suppress_redundant_updates_trigger()"),
        ("CREATE RULE", f"CREATE RULE mine AS ON INSERT TO {name} DO INSTEAD NOTHING"),
        ("CREATE POLICY", f"CREATE POLICY mine ON {name} USING (false)"),
        ("CREATE INDEX", f"CREATE UNIQUE INDEX mine ON {name} ((1))"),
        ("CREATE STATISTICS", f"CREATE STATISTICS stepup.mine ON ctid, xmin FROM {name}"),
        ("CREATE TABLE", f"CREATE TABLE stepup.mine () INHERITS ({name})"),
        ("CREATE VIEW", f"CREATE VIEW stepup.mine AS SELECT * FROM {name}"),
        ("CREATE PUBLICATION", f"CREATE PUBLICATION mine FOR TABLE {name}"),
        ("GRANT", f"GRANT ALL ON {name} TO CURRENT_USER"),
        ("COMMENT", f"COMMENT ON TABLE {name} IS 'mine'"),
        ("REINDEX", f"REINDEX TABLE {name}"),
        ("CLUSTER", f"CLUSTER {name} USING {table}_pkey"),
        ("VACUUM", f"VACUUM FULL {name}"),
        ("TEMP", f"CREATE TEMP TABLE {table} (LIKE {name})"),
        ("LOCK", f"BEGIN; LOCK TABLE {name} IN ACCESS EXCLUSIVE MODE; ROLLBACK"),
    ):  # fmt: skip
        yield Statement(verb, text, table)


def of_the_database(
    owner: str, triggers: Sequence[tuple[str, str]], functions: Sequence[str], database: str
) -> Iterator[Statement]:
    """Yield what changes no row by itself, and might open the way to one."""
    for name, table in triggers:
        yield Statement("DROP", f"DROP TRIGGER {name} ON stepup.{table}")
        yield Statement("ALTER TABLE", f"ALTER TABLE stepup.{table} DISABLE TRIGGER {name}")
        yield Statement("ALTER TRIGGER", f"ALTER TRIGGER {name} ON stepup.{table} RENAME TO mine")
    for name in functions:
        yield Statement("FUNCTION", f"ALTER FUNCTION stepup.{name}() OWNER TO CURRENT_USER")
        yield Statement("FUNCTION", f"ALTER FUNCTION stepup.{name}() RESET ALL")
        yield Statement("FUNCTION", f"DROP FUNCTION stepup.{name}() CASCADE")
        yield Statement(
            "FUNCTION", f"CREATE OR REPLACE FUNCTION stepup.{name}() RETURNS text LANGUAGE sql AS 'SELECT 1'"
        )
        yield Statement("FUNCTION", f"SELECT stepup.{name}()")
    texts = {
        "SET ROLE": [f"SET ROLE {owner}", f"SET SESSION AUTHORIZATION {owner}", "SET ROLE pg_write_all_data",
                     "SET ROLE pg_execute_server_program"],
        "ALTER ROLE": [f"ALTER ROLE CURRENT_USER {what}" for what in
                       ("SUPERUSER", "CREATEROLE", "CREATEDB", "REPLICATION", "BYPASSRLS", "LOGIN", "RENAME TO mine")],
        "GRANT": [f"GRANT {owner} TO CURRENT_USER", "GRANT pg_write_all_data TO CURRENT_USER",
                  "GRANT ALL ON SCHEMA stepup TO CURRENT_USER",
                  "GRANT SET ON PARAMETER session_replication_role TO PUBLIC"],
        "OWNED": [f"REASSIGN OWNED BY {owner} TO CURRENT_USER", f"DROP OWNED BY {owner}"],
        "ALTER DATABASE": [f"ALTER DATABASE {database} OWNER TO CURRENT_USER",
                           f"ALTER DATABASE {database} SET session_replication_role = replica",
                           f"ALTER DATABASE {database} SET search_path = public", f"DROP DATABASE {database}"],
        "SCHEMA": ["CREATE SCHEMA mine", "DROP SCHEMA stepup CASCADE", "ALTER SCHEMA stepup RENAME TO mine",
                   "ALTER SCHEMA stepup OWNER TO CURRENT_USER", "CREATE TABLE stepup.mine (id text)",
                   "CREATE TABLE public.audit (id text)", "CREATE FUNCTION stepup.today(x int DEFAULT 1) RETURNS text "
                   "LANGUAGE sql AS 'SELECT 1'",
                   "CREATE FUNCTION pg_catalog.mine() RETURNS int LANGUAGE sql AS 'SELECT 1'",
                   "CREATE OPERATOR public.= (leftarg = text, rightarg = text, procedure = texteq)",
                   "CREATE CAST (text AS bytea) WITHOUT FUNCTION", "CREATE EXTENSION dblink", "CREATE LANGUAGE plperl",
                   "CREATE EVENT TRIGGER mine ON ddl_command_start EXECUTE FUNCTION stepup.refuse()",
                   "CREATE ACCESS METHOD mine TYPE TABLE HANDLER heap_tableam_handler",
                   "CREATE SUBSCRIPTION mine CONNECTION '' PUBLICATION mine",
                   "ALTER DEFAULT PRIVILEGES IN SCHEMA stepup GRANT ALL ON TABLES TO PUBLIC"],
        "SEQUENCE": ["SELECT setval('stepup.audit_seq_seq', 1)", "SELECT nextval('stepup.audit_seq_seq')",
                     "ALTER SEQUENCE stepup.audit_seq_seq RESTART", "DROP SEQUENCE stepup.tokens_id_seq CASCADE",
                     "SELECT setval('stepup.tokens_id_seq', 1)"],
        "catalogue": ["DELETE FROM pg_catalog.pg_trigger", "UPDATE pg_catalog.pg_class SET relhastriggers = false",
                      "UPDATE pg_catalog.pg_proc SET prosrc = ''", "UPDATE pg_catalog.pg_authid SET rolsuper = true",
                      "SET allow_system_table_mods = on"],
        "server": ["ALTER SYSTEM SET fsync = off", "SELECT pg_reload_conf()", "SELECT pg_read_file('PG_VERSION')",
                   "SELECT pg_ls_dir('.')", "SELECT lo_import('/etc/hostname')", "LOAD 'dblink'", "CHECKPOINT",
                   "SELECT pg_create_physical_replication_slot('mine')", "SELECT pg_switch_wal()",
                   "SET session_replication_role = replica", "SET synchronous_commit = off",
                   "SELECT set_config('session_replication_role', 'replica', false)",
                   "SELECT pg_logical_emit_message(true, 'mine', 'x')", "NOTIFY stepup, 'mine'",
                   "SELECT pg_promote()", "SELECT pg_wal_replay_pause()"],
        "large object": ["SELECT lo_unlink(lo_create(0))", "SELECT lo_export(lo_create(0), '/tmp/mine')"],
        "LOCK": ["BEGIN; SELECT pg_advisory_xact_lock(1398030677, 1); ROLLBACK"],
    }  # fmt: skip
    for verb, group in texts.items():
        for text in group:
            yield Statement(verb, text)


# what a role may set for its own later sessions, those of the app among them
OWN_SETTINGS = (
    "search_path = pg_temp, public", "synchronous_commit = off", "default_transaction_read_only = on",
    "default_transaction_isolation = serializable", "standard_conforming_strings = off", "bytea_output = escape",
    "timezone = 'Asia/Tokyo'", "datestyle = 'SQL, DMY'", "client_encoding = SQL_ASCII", "row_security = off",
    "intervalstyle = sql_standard", "extra_float_digits = 0", "session_replication_role = replica",
    "enable_indexscan = off", "plan_cache_mode = force_generic_plan", "transform_null_equals = on",
    "array_nulls = off", "backslash_quote = on", "lo_compat_privileges = on", "quote_all_identifiers = on",
)  # fmt: skip


def _unlike(value: Any, by: int, chance: random.Random) -> Any:
    """Return another key."""
    if isinstance(value, bytes):
        return chance.randbytes(len(value) or 8)
    return value + by if isinstance(value, int) else value if value is None else f"{value}{abs(by)}"
