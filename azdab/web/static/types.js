// @ts-check
// What the host sends, as sessions.py, views.py and web.py make it. Only types: no page loads this.

/** @typedef {0 | 1} Side  who moves first, who second */
/** @typedef {"easy" | "medium" | "hard" | "max"} Level */
/** @typedef {"plain" | "swedish" | "icelandic"} Variant  which lines are drawn at the start */
/** @typedef {"human" | Level} Seat */
/** @typedef {[Seat, Seat]} Seats */

/**
 * @typedef {object} Settings
 * @property {string} version
 * @property {Level[]} levels
 * @property {Level} level of new games
 * @property {string} board to begin with, such as "5x5"
 * @property {Variant[]} variants
 * @property {number} max_side
 * @property {number} max_import characters of a record that are read
 * @property {string[]} networks boards with a network
 */

/**
 * @typedef {object} BoardShape
 * @property {number} rows in boxes
 * @property {number} cols
 * @property {Variant} variant
 * @property {number[]} start edges that are drawn before the first move, by nobody
 */

/**
 * @typedef {object} State
 * @property {string} id
 * @property {BoardShape} board
 * @property {Seats} seats
 * @property {[string, string]} names
 * @property {number[]} moves with those that were taken back, at the end
 * @property {number} ply how many of the moves are on the board
 * @property {Side} to_play
 * @property {[number, number]} scores
 * @property {boolean} is_over
 */

/**
 * @typedef {object} About what a game's record says
 * @property {string} date
 * @property {string} event
 * @property {string} remark
 * @property {Record<number, number>} evaluations by ply
 * @property {Record<number, string>} remarks by ply
 * @property {string} claim the result of a game that ended early
 */

/** @typedef {State & { about: About }} Opened  a game that is begun or asked for */
/**
 * @typedef {Opened & { games: number, note: string }} Imported  how many games the text holds, and
 *   what was left out of it
 */

/**
 * @typedef {object} Judgement of one edge, margins being the first player's
 * @property {number} edge
 * @property {number | null} margin
 * @property {number | null} loss boxes that the mover loses by it
 */

/**
 * @typedef {object} Analysis
 * @property {number} ply
 * @property {number | null} margin the first player's expected final margin in boxes
 * @property {number | null} win the first player's chance
 * @property {boolean} is_exact
 * @property {number | null} best
 * @property {Judgement[]} edges
 */

/**
 * @typedef {object} Chain
 * @property {number[]} boxes
 * @property {boolean} is_loop
 * @property {boolean} is_long
 */

/**
 * @typedef {object} Shape
 * @property {number} ply
 * @property {Chain[]} chains
 * @property {number} long_chains
 * @property {number} double_crosses
 */

export {};
