"""anipipe: from folders of videos to 2D and 3D poses, joint angles and tables."""

__version__ = "0.1.0"
