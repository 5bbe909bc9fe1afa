"""The engine for people: one position in, a move or an explanation out; judged games.

May import players and the rooms below. Knows of no terminal or page.
"""

from azdab.engine.engine import LEVELS, Analysis, Candidate, Engine, Level

__all__ = ["LEVELS", "Analysis", "Candidate", "Engine", "Level"]
