"""What the command line does that is no stage: opening experiments, running them, showing their state."""
