// @ts-check
// Talks to the host. Every failure is an ApiError with one sentence.

/** @import { Analysis, Imported, Opened, Seats, Settings, Shape, State } from "./types.js" */

/** Where the page is: a proxy may put a path before it. */
const BASE = new URL("..", import.meta.url);

export class ApiError extends Error {
  /**
   * @param {number} status HTTP's; 0 if the host did not answer
   * @param {string} message
   */
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

/**
 * The status of a failure of the host; null of any other error.
 * @param {unknown} error
 */
export const statusOf = (error) => (error instanceof ApiError ? error.status : null);

/**
 * @param {"GET" | "POST"} method
 * @param {string} path
 * @param {object} [body] sent as JSON
 */
async function request(method, path, body) {
  /** @type {Response} */
  let response;
  /** @type {string} */
  let text;
  try {
    response = await fetch(new URL(path, BASE), {
      method,
      headers: body ? { "Content-Type": "application/json" } : {},
      body: body && JSON.stringify(body),
    });
    text = await response.text();
  } catch {
    throw new ApiError(0, "");
  }
  // A proxy says so when the host does not answer.
  if ([502, 503, 504].includes(response.status)) throw new ApiError(0, "");
  if (response.ok) return text;
  let message = response.statusText;
  try {
    /** @type {{ error?: string }} */
    const { error } = JSON.parse(text);
    message = error ?? message;
  } catch {
    // Not from the host itself; the status has to do.
  }
  throw new ApiError(response.status, message);
}

/**
 * @template T
 * @param {string} path
 * @returns {Promise<T>} what the host says, of the type that the caller names
 */
const get = async (path) => JSON.parse(await request("GET", path));

/**
 * @template T
 * @param {string} path
 * @param {object} body
 * @returns {Promise<T>} likewise
 */
const post = async (path, body) => JSON.parse(await request("POST", path, body));

/** @param {string} id */
const game = (id, rest = "") => `api/games/${encodeURIComponent(id)}${rest}`;

/** @type {() => Promise<Settings>} */
export const settings = () => get("api/settings");
/** @type {(board: string, seats: Seats) => Promise<Opened>} */
export const create = (board, seats) => post("api/games", { board, seats });
/**
 * `board`: of a record that does not say; `ply`: how many of its moves are on the board.
 * @type {(values: { text: string, number?: number, board?: string | null, seats?: Seats,
 *   ply?: number }) => Promise<Imported>}
 */
export const importRecord = (values) => post("api/games/import", values);
/** @type {(id: string) => Promise<Opened>} */
export const show = (id) => get(game(id));
/** @type {(id: string, ply: number, edge: number) => Promise<State>} */
export const move = (id, ply, edge) => post(game(id, "/move"), { ply, edge });
/** @type {(id: string, ply: number) => Promise<State>} */
export const engine = (id, ply) => post(game(id, "/engine"), { ply });
/**
 * `to`: after how many moves; else a person's last decision, before `seen` if that is given.
 * @type {(id: string, ply: number, how?: { to?: number, seen?: number }) => Promise<State>}
 */
export const undo = (id, ply, how = {}) => post(game(id, "/undo"), { ply, ...how });
/** @type {(id: string, ply: number, to?: number) => Promise<State>} */
export const redo = (id, ply, to) => post(game(id, "/redo"), { ply, to });
/** @type {(id: string, chosen: Seats) => Promise<State>} */
export const seats = (id, chosen) => post(game(id, "/seats"), { seats: chosen });
/** @type {(id: string, ply: number) => Promise<Analysis>} */
export const analysis = (id, ply) => get(game(id, `/analysis?ply=${ply}`));
/** @type {(id: string, ply: number) => Promise<Shape>} */
export const shape = (id, ply) => get(game(id, `/shape?ply=${ply}`));
/** @type {(id: string, format: string) => Promise<string>} */
export const record = (id, format) => request("GET", game(id, `/record?format=${format}`));
