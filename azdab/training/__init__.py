"""Training from zero: the loop that plays, learns, meets the arena and saves.

May import learning, runs, measure and the rooms below. ``loop`` is the place to begin reading.
"""
