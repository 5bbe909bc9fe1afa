"""The network: what it is shown, its layers, its outputs.

May import common and game. Knows nothing of search or training.
"""
