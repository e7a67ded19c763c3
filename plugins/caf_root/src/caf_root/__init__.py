"""ROOT files, per-run histograms and ROOT payloads for caf."""
