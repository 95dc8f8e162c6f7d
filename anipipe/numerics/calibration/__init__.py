"""From corners of a board, seen by several cameras, to the cameras; and what is wrong with these.

Before:

- :mod:`~anipipe.numerics.calibration.detections`         what recordings showed of the board
- :mod:`~anipipe.numerics.calibration.views`              what the cameras saw, by instant; is it enough
- :mod:`~anipipe.numerics.calibration.links`              whether cameras hang together firmly enough
- :mod:`~anipipe.numerics.calibration.selection`          which instants of a long recording to solve with
- :mod:`~anipipe.numerics.calibration.lens_start`         each lens, roughly
- :mod:`~anipipe.numerics.calibration.pose_start`         each board and camera, roughly
- :mod:`~anipipe.numerics.calibration.start`              a first solution of these, and what is asked for

Solving:

- :mod:`~anipipe.numerics.calibration.bodies`             what is adjusted
- :mod:`~anipipe.numerics.calibration.bundle`             cameras and rigid boards, adjusted together
- :mod:`~anipipe.numerics.calibration.placing`            boards before cameras that stay as they are
- :mod:`~anipipe.numerics.calibration.uncertainty`        how exactly the result is known, and what is not
- :mod:`~anipipe.numerics.calibration.animal`             the animal's joints as further evidence
- :mod:`~anipipe.numerics.calibration.world`              the board as the origin
- :mod:`~anipipe.numerics.calibration.solver`             all of these put together
- :mod:`~anipipe.numerics.calibration.aniposelib_solver`  the same by aniposelib's bundle adjustment
- :mod:`~anipipe.numerics.calibration.solution`           what comes out

Judging:

- :mod:`~anipipe.numerics.calibration.coverage`           of pictures, depth and pairs of cameras
- :mod:`~anipipe.numerics.calibration.lengths`            distances on the board
- :mod:`~anipipe.numerics.calibration.alarms`             what is wrong with cameras by themselves
- :mod:`~anipipe.numerics.calibration.solution_alarms`    what the board says against them
- :mod:`~anipipe.numerics.calibration.pose_alarms`        what an animal's 2D poses say against them
- :mod:`~anipipe.numerics.calibration.errors`             the report: how well they fit all corners
"""
