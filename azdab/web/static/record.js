// @ts-check
// A game as azdab's text, as azdab/game/record.py describes and writes it: the host reads it when
// a game has to be brought back, and people get it when the host does not answer.

import { LETTERS, positionAt } from "./rules.js";

/** @import { Board } from "./rules.js" */
/** @import { About } from "./types.js" */

/** @param {string} text */
const oneLine = (text) => text.split(/[\s\p{Cc}]+/u).filter(Boolean).join(" ");

/** @param {number} margin */
const signed = (margin) => {
  const size = Math.abs(margin).toFixed(2);
  return `${margin < 0 && Number(size) ? "-" : "+"}${size}`;
};

/**
 * @param {Board} board
 * @param {readonly number[]} moves
 * @param {[string, string]} names
 * @param {About} about
 */
export function recordText(board, moves, [first, second], about) {
  const { movers, scores, isOver } = positionAt(board, moves, moves.length);
  const { date, event, remark, evaluations, remarks, claim = "" } = about;
  const variant = board.variant === "plain" ? "" : `:${board.variant}`;
  const lines = ["azdab record 1", `board: ${board.size}${variant}`];
  for (const [name, value] of Object.entries({ first, second, date, event }))
    if (oneLine(value)) lines.push(`${name}: ${oneLine(value)}`);
  lines.push(`result: ${isOver ? scores.join("-") : oneLine(claim) || "*"}`);
  for (const line of remark.split("\n")) if (oneLine(line)) lines.push(`# ${oneLine(line)}`);
  lines.push("");
  moves.forEach((edge, ply) => {
    let line = `${LETTERS[movers[ply]]} ${board.edges[edge].name}`;
    if (ply in evaluations) line += `   eval ${signed(evaluations[ply])}`;
    const words = oneLine(remarks[ply] ?? "");
    if (words) line += `   # ${words}`;
    lines.push(line);
  });
  return `${lines.join("\n")}\n`;
}

/**
 * What is said of a game's first moves only; where they are all moves, also its result.
 * @param {About} about
 * @param {number} count
 * @param {boolean} areAll
 * @returns {About}
 */
export function aboutFirst(about, count, areAll) {
  /** @type {<T>(values: Record<number, T>) => Record<number, T>} */
  const first = (values) =>
    Object.fromEntries(Object.entries(values).filter(([ply]) => Number(ply) < count));
  return {
    ...about, evaluations: first(about.evaluations), remarks: first(about.remarks),
    claim: areAll ? about.claim : "",
  };
}
