"""``anipipe init``: a first ``config.toml``, from what lies in a folder or from a template.

- :mod:`~anipipe.commands.init.looking`          folders, videos and predictions that are there
- :mod:`~anipipe.commands.init.camera_patterns`  the parts in which names differ, as regular expressions
- :mod:`~anipipe.commands.init.camera_names`     which of these parts is the camera
- :mod:`~anipipe.commands.init.samples`          a few frames of board recordings, joints of predictions
- :mod:`~anipipe.commands.init.proposing`        keys, values, and what they rest on
- :mod:`~anipipe.commands.init.moving`           shell commands for files that lie elsewhere; shown, never run
- :mod:`~anipipe.commands.init.advising`         what the user is told
- :mod:`~anipipe.commands.init.templates`        what a file holds if nothing is looked at
- :mod:`~anipipe.commands.init.drafting`         all of it, and the file
"""

from anipipe.commands.init.drafting import check, draft, draft_of_template, write
from anipipe.commands.init.templates import TEMPLATES

__all__ = ["TEMPLATES", "check", "draft", "draft_of_template", "write"]
