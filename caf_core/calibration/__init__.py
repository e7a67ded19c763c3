"""What a calibration is: collections, algorithms, strategies, runners, states."""
