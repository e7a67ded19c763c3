"""Payloads, the databases that hold them, and the order in which these are searched."""
