"""Devices and processes: memory, cores, and how work is divided among them.

May import common. Knows nothing of the game.
"""
