"""AlphaZero as array programs: agents, self-play, replay, learner, arena.

May import the rooms below: common, devices, game, network, search, exact. Writes nothing to
disk but a batch that diverged, and knows of no run.
"""
