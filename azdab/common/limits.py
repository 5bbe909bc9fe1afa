"""How far exact play and search reach, and the largest board: every limit with its reason."""

TABLE_HORIZON = 22
"""Longest endings that self-play has solved: on the device, in a dense table of 2^22 bytes for
every game of a chunk."""

TABLE_ROOM = 256_000_000
"""Bytes that the tables of a chunk of games may take of each device: 199 games of 20 edges, or 43
of 22. So many keep a card busy, and fit beside all else on a small one."""

QUICK_TABLE_EDGES = 16
"""Most edges left at which an engine without numba knows all values: a table for every move."""

ENGINE_DOTS = 64
"""Most dots of a board that the exact engine takes: as many as a word has bits."""

TABLE_ENTRY_BYTES = 32
"""Bytes of an entry of the exact engine's table of positions."""

ENGINE_EDGES = 112
"""Most edges of a board of ``ENGINE_DOTS`` dots, which 8x8 dots have."""

MAX_SIDE = 10
"""Most rows or columns of boxes."""

MAX_OPEN_EDGES = 28
"""Largest solvable number of open edges: a table of 2^28 bytes."""

TABLE_EDGES = 24
"""Boards with at most this many edges to draw are solved whole: 2^24 bytes, under a second."""

ENDGAME_EDGES = 24
"""Most edges left for :func:`azdab.exact.oracle.endgame_oracle`: a table of 2^24 bytes each."""

SEARCH_EDGES = 40
"""Most edges left for :func:`azdab.exact.oracle.search_oracle`. On 5x5, 32 take milliseconds, 36
some tenths of a second and 40 several seconds per position."""

TIMED_EDGES = 48
"""Most edges left at which an engine with seconds for a move tries to prove it. The seconds bound
it, so this may be more than can be solved, but from further away the tries would be in vain."""

MAX_BATCH_GAMES = 1_000_000
"""Most games that are accepted at once, for a match or an iteration: arrays hold a row for each."""

MAX_SIMULATIONS = 4096
"""Most simulations per move that are accepted: the tree keeps that many positions in memory."""
