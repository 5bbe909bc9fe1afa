"""Tree search with the real rules: mctx's Gumbel MuZero and PUCT.

May import common, game and network. Knows nothing of training: it is given an evaluator.
"""
