// @ts-check
// The rules, as the page needs them: where edges are, whose boxes, whose turn.
// Edges and boxes are numbered as in azdab/game/board.py; the host has the last word.

/** @import { BoardShape, Side } from "./types.js" */

/**
 * Places are in half boxes: dots are at (even, even), a horizontal edge at (odd, even).
 * @typedef {{ x: number, y: number }} Place
 * @typedef {Place & { id: number, edges: readonly number[] }} Box  its place is its centre's
 * @typedef {Place & { id: number, name: string, flat: boolean, row: number, col: number,
 *   boxes: readonly number[] }} Edge  flat: horizontal; boxes: beside it
 * @typedef {ReturnType<typeof makeBoard>} Board
 * @typedef {ReturnType<typeof positionAt>} Position
 */

/** @type {readonly Side[]} */
export const SIDES = [0, 1];

/** The names of the sides, by their numbers. */
export const LETTERS = "AB";

/** @param {Side} side @returns {Side} */
export const otherSide = (side) => (side ? 0 : 1);

/**
 * A board with its edges and boxes. `start`: edges that are drawn from the start, by no move;
 * `plies`: how many moves a whole game has.
 * @param {BoardShape} shape
 */
export function makeBoard({ rows, cols, variant, start }) {
  const horizontal = (rows + 1) * cols;
  const boxes = Array.from({ length: rows * cols }, (_, id) => {
    const row = Math.floor(id / cols), col = id % cols;
    const left = horizontal + row * (cols + 1) + col;
    /** @type {Box} */
    const box = { id, x: 2 * col + 1, y: 2 * row + 1, edges: [id, id + cols, left, left + 1] };
    return box;
  });
  const edges = Array.from({ length: horizontal + rows * (cols + 1) }, (_, id) => {
    const flat = id < horizontal;
    const width = flat ? cols : cols + 1, index = flat ? id : id - horizontal;
    const row = Math.floor(index / width), col = index % width;
    /** @type {Edge} */
    const edge = {
      id, flat, row, col,
      name: `${flat ? "h" : "v"} ${row} ${col}`,
      x: flat ? 2 * col + 1 : 2 * col,
      y: flat ? 2 * row : 2 * row + 1,
      boxes: boxes.filter((box) => box.edges.includes(id)).map((box) => box.id),
    };
    return edge;
  });
  const plies = edges.length - start.length;
  return { rows, cols, variant, start, edges, boxes, plies, size: `${rows}x${cols}` };
}

/**
 * The position after the first `ply` of some moves. `movers` has one more entry than moves.
 * @param {Board} board
 * @param {readonly number[]} moves
 * @param {number} ply
 */
export function positionAt(board, moves, ply) {
  const drawn = board.edges.map(({ id }) => board.start.includes(id));
  const owners = board.boxes.map(() => /** @type {Side | null} */ (null));
  /** @type {number[]} */
  const closed = [];
  const scores = [0, 0];
  let toPlay = /** @type {Side} */ (0);
  const movers = [toPlay];
  for (const edge of moves.slice(0, ply)) {
    drawn[edge] = true;
    const gained = board.edges[edge].boxes
      .filter((box) => board.boxes[box].edges.every((line) => drawn[line]));
    for (const box of gained) owners[box] = toPlay;
    scores[toPlay] += gained.length;
    closed.push(gained.length);
    if (!gained.length) toPlay = otherSide(toPlay);
    movers.push(toPlay);
  }
  return {
    ply, drawn, owners, movers, closed, scores, toPlay,
    last: ply ? moves[ply - 1] : null,
    isOver: drawn.every(Boolean),
  };
}

/** @type {Record<string, readonly [number, number]>} */
const STEPS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

/**
 * The edge that an arrow key leads to: along its row of edges, or to the next row.
 * @param {Board} board
 * @param {number} from
 * @param {string} key
 */
export function neighbour(board, from, key) {
  const here = board.edges[from];
  const [dx, dy] = STEPS[key];
  const candidates = board.edges.filter((edge) =>
    dx ? edge.y === here.y && (edge.x - here.x) * dx > 0 : edge.y === here.y + dy);
  if (!candidates.length) return from;
  const nearest = candidates.reduce((best, edge) =>
    Math.abs(edge.x - here.x) < Math.abs(best.x - here.x) ? edge : best);
  return nearest.id;
}

/**
 * The value that names a position: what was thought of it is kept under this name.
 * @param {readonly number[]} moves
 * @param {number} ply
 */
export const keyOf = (moves, ply) => moves.slice(0, ply).join(",");
