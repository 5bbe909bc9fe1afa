"""What ``azdab.benchmark`` times: work, rounds, reports, other programs beside it.

May import learning, runs and the rooms below.
"""
