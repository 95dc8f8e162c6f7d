"""Drawing poses: pictures in, pictures out."""
