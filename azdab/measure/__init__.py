"""How strong a network is: moves against the truth, forecasts, matches in numbers.

May import players and the rooms below.
"""
