"""Runs on disk: checkpoints, their damage and repair, metrics, records of games.

May import learning and the rooms below. Knows nothing of who trains or plays.
"""
