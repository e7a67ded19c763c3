"""A stand-in for the reconstruction: a small calorimeter simulation whose true constants are known.

It takes the place of Marlin in tests and in the demo. ``python -m caf_pandora.standin STEERING`` reads the
steering file, the events it names, Pandora's settings and the likelihood data, and writes
``pfoAnalysis.root`` or new likelihood data. It knows nothing of the calibration: wrong constants give wrong
energies.
"""
