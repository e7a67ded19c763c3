"""The database of a service. Only this package knows peewee."""
