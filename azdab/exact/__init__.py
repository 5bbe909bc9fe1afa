"""The truth: exact values by a dense table on the device and by search on the host.

May import common, devices and game. Knows of no network. ``oracle`` decides how a value is
obtained; ``endings`` teaches self-play; ``solver`` is the engine's endgame.
"""
