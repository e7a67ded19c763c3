"""What is in a global tag: rows of the tables as entries, and back."""

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import peewee

from caf_core.conditions.central_models import Tables
from caf_core.conditions.payload import Entry, StoredPayload
from caf_core.conditions.provenance import Provenance
from caf_core.iov import IoV
from caf_core.json_text import json_text

_ROWS = 100
"""Rows an INSERT: SQLite limits the number of values."""


def entries(tables: Tables, tag: Any) -> tuple[Entry, ...]:
    """The entries of a tag, in the order in which they count."""
    entry, payload = tables.entry, tables.payload
    columns = (payload.name, payload.revision, entry.exp_low, entry.run_low, entry.exp_high, entry.run_high)
    rows = entry.select(*columns).join(payload).where(entry.tag == tag).order_by(entry.id).tuples()
    return tuple(Entry(name, revision, IoV(*numbers)) for name, revision, *numbers in rows)


def add_payloads(tables: Tables, items: Iterable[StoredPayload]) -> None:
    """Keep the bytes of payloads, once for each revision."""
    for item in items:
        tables.payload.insert(
            name=item.entry.name, revision=item.entry.revision, suffix=item.suffix, data=item.data
        ).on_conflict_ignore().execute()


def replace_entries(
    tables: Tables, tag: Any, gone: Sequence[Entry], added: Mapping[Entry, Provenance]
) -> None:
    """Take entries out of a tag, and append others at the end."""
    for entry in gone:
        tables.entry.delete().where(_is(tables, tag, entry)).execute()
    rows = [
        {
            "tag": tag,
            "payload": _payload_id(tables, entry),
            "exp_low": entry.iov.exp_low,
            "run_low": entry.iov.run_low,
            "exp_high": entry.iov.exp_high,
            "run_high": entry.iov.run_high,
            "provenance": json_text(origin.to_json()),
        }
        for entry, origin in added.items()
    ]
    for batch in peewee.chunked(rows, _ROWS):
        tables.entry.insert_many(batch).execute()


def copy_entries(tables: Tables, source: Any, target: Any) -> None:
    """Append the entries of one tag to another."""
    entry = tables.entry
    columns = (entry.payload, entry.exp_low, entry.run_low, entry.exp_high, entry.run_high, entry.provenance)
    chosen = entry.select(peewee.Value(target.id), *columns).where(entry.tag == source).order_by(entry.id)
    entry.insert_from(chosen, (entry.tag, *columns)).execute()


def provenance(tables: Tables, tag: Any, entry: Entry) -> Provenance | None:
    """Where an entry of a tag came from."""
    row = tables.entry.get_or_none(_is(tables, tag, entry))
    return None if row is None else Provenance.from_json(json.loads(row.provenance))


def _payload_id(tables: Tables, entry: Entry) -> Any:
    """The id of an entry's payload, as a subquery."""
    payload = tables.payload
    return payload.select(payload.id).where(
        (payload.name == entry.name) & (payload.revision == entry.revision)
    )


def _is(tables: Tables, tag: Any, entry: Entry) -> Any:
    """The condition that a row is this entry of this tag."""
    row, iov = tables.entry, entry.iov
    return (
        (row.tag == tag)
        & (row.payload == _payload_id(tables, entry))
        & (row.exp_low == iov.exp_low)
        & (row.run_low == iov.run_low)
        & (row.exp_high == iov.exp_high)
        & (row.run_high == iov.run_high)
    )
