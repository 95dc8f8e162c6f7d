"""Numerics: arrays in, arrays out; no path, no configuration, no logger, no global seed.

Arrays are ordered (cameras, frames, joints, 2 or 3); missing is NaN.

- :mod:`~anipipe.numerics.lenses`         lens distortion and its inverse
- :mod:`~anipipe.numerics.cameras`        cameras, rigs, projection
- :mod:`~anipipe.numerics.triangulation`  points in space from pixels, and their quality
- :mod:`~anipipe.numerics.alignment`      standardised axes
- :mod:`~anipipe.numerics.angles`         joint angles
"""
