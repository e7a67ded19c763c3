"""The checkpoint store: what a process must know to go on where another one was stopped."""
