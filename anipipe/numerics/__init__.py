"""Numerics: arrays in, arrays out; no path, no configuration, no logger, no global seed.

Arrays are ordered (cameras, frames, joints, 2 or 3); missing is NaN.

- :mod:`~anipipe.numerics.lenses`         lens distortion and its inverse
- :mod:`~anipipe.numerics.cameras`        cameras, rigs, projection
- :mod:`~anipipe.numerics.boards`         the calibration board in pictures
- :mod:`~anipipe.numerics.calibration`    cameras from what they saw of the board
- :mod:`~anipipe.numerics.filtering`      2D and 3D tracks without outliers, gaps filled
- :mod:`~anipipe.numerics.viterbi`        the most likely track among several candidates
- :mod:`~anipipe.numerics.triangulation`  points in space from pixels, and their quality
- :mod:`~anipipe.numerics.alignment`      standardised axes
- :mod:`~anipipe.numerics.angles`         joint angles
"""
