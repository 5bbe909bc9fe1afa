// @ts-check
// Games that this browser keeps, so that none is lost: each line of moves under a name of its own.

import { forget, keep, keepHere, kept, keptHere, keptNames } from "./dom.js";

/** @import { About, BoardShape, Seats } from "./types.js" */

/**
 * What a game can be brought back from.
 * @typedef {object} Line
 * @property {string | null} id under which the host knows it
 * @property {BoardShape} board
 * @property {Seats} seats
 * @property {[string, string]} names
 * @property {number[]} moves with those that were taken back, at the end
 * @property {number} ply how many of the moves are on the board
 * @property {About} about
 * @property {number} at when it was kept, in milliseconds
 */

const PREFIX = "azdab-line-", HERE = "azdab-game";
const MOST = 60;

/** A name that no other line has. */
export const newKey = () =>
  `${Date.now().toString(36)}-${Math.random().toString(36).slice(2, 10)}`;

/**
 * The line of a name, if there is one.
 * @param {string} key
 * @returns {Line | null}
 */
export function keptLine(key) {
  try {
    const line = JSON.parse(kept(PREFIX + key) ?? "null");
    return line && Array.isArray(line.moves) && line.board && line.about ? line : null;
  } catch {
    return null; // Not ours.
  }
}

/** All lines, the latest first. */
export function keptLines() {
  /** @type {[string, Line][]} */
  const found = [];
  for (const name of keptNames(PREFIX)) {
    const key = name.slice(PREFIX.length), line = keptLine(key);
    if (line) found.push([key, line]);
    else forget(name);
  }
  return found.sort(([, one], [, other]) => other.at - one.at);
}

/**
 * Keep a line; the oldest others go if there are too many, or no room.
 * @param {string} key
 * @param {Omit<Line, "at">} line
 */
export function keepLine(key, line) {
  const others = keptLines().filter(([other]) => other !== key);
  for (const [other] of others.splice(MOST - 1)) forgetLine(other);
  const text = JSON.stringify({ ...line, at: Date.now() });
  while (!keep(PREFIX + key, text)) {
    const oldest = others.pop();
    if (!oldest) return;
    forgetLine(oldest[0]);
  }
}

/** @param {string} key */
export const forgetLine = (key) => forget(PREFIX + key);

/** The name of the line of this tab, if it has one. */
export const keyHere = () => keptHere(HERE);

/**
 * Note which line this tab shows.
 * @param {string} key
 * @returns {boolean} whether the browser allows it
 */
export const keepKeyHere = (key) => keepHere(HERE, key);
