"""The engine for people: one position in, a move or an explanation out; judged games.

May import runs and the rooms below. Knows of no terminal or page, and of no matches.
"""

from azdab.engine.engine import Analysis, Candidate, Engine
from azdab.engine.levels import LEVELS, Level

__all__ = ["LEVELS", "Analysis", "Candidate", "Engine", "Level"]
