"""caf runs detector calibrations: collect, calibrate, store constants with their validity, iterate."""
