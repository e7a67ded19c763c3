"""The loop that drives calibrations, and the store that lets it go on after a crash."""
