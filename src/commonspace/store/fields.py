"""Indexes on payload fields: what an item has in a field, looked up by value.

One row an item and value, an array has one an element, and "null" stands for a field that is null
or absent, so that every condition of `store.conditions` reads the same from it. SQLite's triggers
keep the rows in the very transaction that stores or deletes an item.
"""

from __future__ import annotations

import sqlite3

_TABLES = """
CREATE TABLE IF NOT EXISTS field_names (field INTEGER PRIMARY KEY, path TEXT NOT NULL UNIQUE);
CREATE TABLE IF NOT EXISTS fields (field INTEGER NOT NULL, kind TEXT NOT NULL, value, key INTEGER);
CREATE INDEX IF NOT EXISTS fields_by_value ON fields (field, kind, value, key);
CREATE INDEX IF NOT EXISTS fields_by_key ON fields (key, field);
CREATE TRIGGER IF NOT EXISTS fields_delete AFTER DELETE ON items BEGIN
  DELETE FROM fields WHERE key = OLD.key;
END;
"""
_VALUES = """
INSERT INTO fields SELECT {field}, CASE WHEN each.type IN ('integer', 'real') THEN 'number'
  ELSE each.type END, each.value, {row}.key
  FROM {source} json_each({row}.payload, {path}) AS each
  WHERE json_type({row}.payload, {path}) <> 'object' AND each.type NOT IN ('array', 'object');
INSERT INTO fields SELECT {field}, 'null', NULL, {row}.key {only}
  WHERE json_type({row}.payload, {path}) IS NULL;
"""


def indexed_fields(sql: sqlite3.Connection) -> dict[str, int]:
    """Number of each field that has an index, by its JSON path."""
    if not has_fields(sql):
        return {}
    return dict(sql.execute("SELECT path, field FROM field_names").fetchall())


def has_fields(sql: sqlite3.Connection) -> bool:
    """Whether any field was ever indexed."""
    named = "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'field_names'"
    return sql.execute(named).fetchone() is not None


def index_field(sql: sqlite3.Connection, path: str) -> None:
    """Index a field of the items there are and of those that come; within a transaction."""
    _run(sql, _TABLES)
    if path in indexed_fields(sql):
        return
    sql.execute("INSERT INTO field_names (path) VALUES (?)", (path,))
    field = indexed_fields(sql)[path]
    quoted = "'" + path.replace("'", "''") + "'"
    new = _VALUES.format(field=field, row="NEW", path=quoted, source="", only="")
    sql.execute(f"CREATE TRIGGER fields_{field} AFTER INSERT ON items BEGIN {new} END")
    there = _VALUES.format(
        field=field, row="items", path=quoted, source="items,", only="FROM items"
    )
    _run(sql, there)


def drop_field(sql: sqlite3.Connection, path: str) -> None:
    """Forget the index of a field; within a transaction."""
    field = indexed_fields(sql).get(path)
    if field is None:
        return
    sql.execute(f"DROP TRIGGER fields_{field}")
    sql.execute("DELETE FROM fields WHERE field = ?", (field,))
    sql.execute("DELETE FROM field_names WHERE field = ?", (field,))


def _run(sql: sqlite3.Connection, statements: str) -> None:
    """Run several statements without the commit that ``executescript`` begins with."""
    statement = ""
    for line in statements.splitlines(keepends=True):
        statement += line
        if sqlite3.complete_statement(statement):
            sql.execute(statement)
            statement = ""
