"""What only the notebooks use: curves of runs, figures, theory of the game.

May import engine, measure and the rooms below. Nothing imports it.
"""
