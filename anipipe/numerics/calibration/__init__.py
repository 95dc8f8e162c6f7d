"""From corners of a board, seen by several cameras, to the cameras.

- :mod:`~anipipe.numerics.calibration.views`              what the cameras saw, by instant; is it enough
- :mod:`~anipipe.numerics.calibration.lens_start`         each lens, roughly
- :mod:`~anipipe.numerics.calibration.pose_start`         each board and camera, roughly
- :mod:`~anipipe.numerics.calibration.aniposelib_solver`  all together, by aniposelib's bundle adjustment
- :mod:`~anipipe.numerics.calibration.errors`             how well a calibration fits all corners
"""
