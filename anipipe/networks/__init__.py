"""Pose networks: finding, reading, running and training them, in plain torch.

``sources`` finds out what a model on disk is made of (no torch needed); ``loading`` reads it into a
:class:`~anipipe.networks.models.TrainedModel`; ``architectures`` are the networks; ``decoding`` turns
heatmaps into points; ``tracking`` runs a network over the frames of a video; ``training`` trains one.
"""
