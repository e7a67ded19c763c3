"""Payloads, the databases that hold them, and the chain in which they are searched."""
