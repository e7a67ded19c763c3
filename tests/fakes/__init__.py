"""Executable fake schedulers: commands that behave like real ones and really execute jobs.

A *dialect* says how one scheduler's commands read and answer; the *engine* does the rest: state, execution of
jobs, kills, faults. No command here imports caf, and nothing in caf leans on them. How to write a dialect
stands in ``engine.py``; how a test uses one, in ``cluster.py``.
"""
