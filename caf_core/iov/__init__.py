"""Runs and intervals of validity."""
