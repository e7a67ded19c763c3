"""Run caf jobs on this machine, from one resident process."""
