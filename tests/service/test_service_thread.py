"""What is said of a database that does not answer."""

import peewee

from caf_service.store.thread import reason_of


def test_a_transaction_that_cannot_be_given_up_does_not_hide_why() -> None:
    """SQLite ends the transaction itself when the disk is full, and giving it up fails then."""
    try:
        try:
            raise peewee.OperationalError("database or disk is full")
        finally:
            raise peewee.OperationalError("cannot rollback - no transaction is active")
    except peewee.OperationalError as error:
        assert reason_of(error) == "database or disk is full"
    assert reason_of(OSError()) == "OSError"
