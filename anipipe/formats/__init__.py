"""The files of the pipeline, one read/write pair per format.

========================= ==============================================================
:mod:`.poses2d`           2D poses: ``pose-2d/VIDEO.h5`` (pandas table, as Anipose)
:mod:`.importing`         2D poses made elsewhere: DeepLabCut, Lightning Pose, EKS, SLEAP
:mod:`.poses3d`           3D poses: ``pose-3d/TRIAL.csv``
:mod:`.tables`            angles, and the parquet parts and csv tables of the summaries
:mod:`.calibrations`      cameras: ``calibration.toml``
:mod:`.board_detections`  corners of the calibration board: ``calibration/detections/*.csv``
:mod:`.video`             recordings and still images, for every stage that decodes (reads only)
========================= ==============================================================

Writers write straight to the path they are given and give the same bytes for the same data, whenever and
wherever they run; putting a file in place at once is the work of whoever calls them. Readers raise
:class:`anipipe.errors.DataError`, naming the file and what to do, for whatever is wrong with its content;
a file that is absent, or a disk that fails, stays an :class:`OSError`.
"""
