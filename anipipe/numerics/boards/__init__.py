"""The calibration board: what it looks like, and where pictures show it.

- :mod:`~anipipe.numerics.boards.geometry`   where corners and markers lie on a board
- :mod:`~anipipe.numerics.boards.drawing`    the board as a picture
- :mod:`~anipipe.numerics.boards.detection`  the corners of a board in a recording; uses
  :mod:`~anipipe.numerics.boards.markers`, :mod:`~anipipe.numerics.boards.squares`,
  :mod:`~anipipe.numerics.boards.checkers` and :mod:`~anipipe.numerics.boards.corners`
- :mod:`~anipipe.numerics.boards.reading`    what the markers of a whole recording say: mirrored, layout
- :mod:`~anipipe.numerics.boards.guess`      which board pictures show, if nobody says
- :mod:`~anipipe.numerics.boards.survey`     why a board is not seen, in words
"""
