"""A game in the terminal, and the line protocol for other programs.

May import engine and the rooms below.
"""
