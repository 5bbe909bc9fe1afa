"""How far exact play reaches, and the largest board: every limit with its reason."""

TABLE_HORIZON = 16
"""Endings of at most this many edges are solved in dense tables on the device."""

ENGINE_DOTS = 64
"""Most dots of a board that the exact engine takes: as many as a word has bits."""

MAX_SIDE = 10
"""Most rows or columns of boxes."""

MAX_OPEN_EDGES = 28
"""Largest solvable number of open edges: a table of 2^28 bytes."""

TABLE_EDGES = 24
"""Boards with at most this many edges are solved whole: 2^24 bytes, under a second."""

ENDGAME_EDGES = 24
"""Most edges left for :func:`azdab.exact.oracle.endgame_oracle`: a table of 2^24 bytes each."""

SEARCH_EDGES = 40
"""Most edges left for :func:`azdab.exact.oracle.search_oracle`. On 5x5, 32 take milliseconds, 36
some tenths of a second and 40 several seconds per position."""
