"""Points in space from all frames of a recording at once: smooth, limbs of constant length, gaps filled."""
