"""The checkpoint store: what a process must know to go on where another one was stopped."""

FILE_NAME = "caf_state.db"
"""The checkpoint in an output directory."""
