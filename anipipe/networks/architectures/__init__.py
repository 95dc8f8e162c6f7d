"""The networks themselves, in plain torch, under the tensor names that trained weights carry.

``build`` makes one from a model's configuration; ``resnet``, ``hrnet`` and ``cspnext`` are the backbones,
``heads`` what stands on them; ``refusals`` says what cannot be run, and why; ``fold`` makes a network faster.
"""
