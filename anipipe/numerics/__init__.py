"""Numerics: arrays in, arrays out; no path, no configuration, no logger, no global seed.

Arrays are ordered (cameras, frames, joints, 2 or 3); missing is NaN.

- :mod:`~anipipe.numerics.lenses`                    lens distortion and its inverse
- :mod:`~anipipe.numerics.cameras`                   cameras, rigs, projection and its slopes
- :mod:`~anipipe.numerics.boards`                    the calibration board in pictures
- :mod:`~anipipe.numerics.calibration`               cameras from what they saw of the board
- :mod:`~anipipe.numerics.filtering`                 2D and 3D tracks without outliers, gaps filled
- :mod:`~anipipe.numerics.viterbi`                   the most likely track among several candidates
- :mod:`~anipipe.numerics.triangulation`             points in space from pixels, and their quality
- :mod:`~anipipe.numerics.subsets`                   the cameras that agree on a point
- :mod:`~anipipe.numerics.point_refinement`          points of the smallest reprojection error
- :mod:`~anipipe.numerics.refinement`                all points of a recording at once, smooth in time
- :mod:`~anipipe.numerics.aniposelib_triangulation`  the same by aniposelib's functions
- :mod:`~anipipe.numerics.aniposelib_cameras`        its cameras, made of ours
- :mod:`~anipipe.numerics.reconstruction`            from pixels to points, methods put together
- :mod:`~anipipe.numerics.singular_vectors`          smallest singular vectors of many small matrices
- :mod:`~anipipe.numerics.alignment`                 standardised axes
- :mod:`~anipipe.numerics.angles`                    joint angles
"""
