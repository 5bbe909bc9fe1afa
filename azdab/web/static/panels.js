// @ts-check
// What stands around the board: players, status, evaluation, moves.

import { $, $button, around, find, htmlElement, onPointing } from "./dom.js";
import { t } from "./i18n.js";
import { LETTERS, otherSide, SIDES } from "./rules.js";

/** @import { Hint } from "./board.js" */
/** @import { Chart } from "./chart.js" */
/** @import { Game } from "./game.js" */
/** @import { Edge, Position } from "./rules.js" */
/** @import { Analysis, Judgement, Seat, Side } from "./types.js" */

/**
 * A number of boxes as people write it: 3, 2.5.
 * @param {number} count
 */
const boxes = (count) => String(Math.round(Math.abs(count) * 10) / 10);

/**
 * What a margin of the first player means, in words.
 * @param {number} margin
 * @param {boolean} isExact
 */
export function marginText(margin, isExact) {
  if (isExact && !margin) return t("margin_exact_draw");
  if (Math.abs(margin) < 0.05) return t("margin_even");
  const values = { side: LETTERS[margin > 0 ? 0 : 1], count: boxes(margin) };
  return t(isExact ? "margin_exact" : "margin_expected", values);
}

/**
 * Boxes lost from which a move is a mistake, and a blunder, as in azdab/engine/review.py. Smaller
 * losses are within the error of an estimate.
 */
const MISTAKE = 1, BLUNDER = 3;

/**
 * What is shown of an edge; nothing where nothing is known.
 * @param {Judgement} edge
 * @param {Analysis} found
 * @returns {Hint}
 */
function hintOf({ edge, margin, loss }, found) {
  const isBest = edge === found.best, lost = isBest ? 0 : loss;
  /** @type {string[]} */
  const words = [];
  if (isBest) words.push(t("move_is_best"));
  else if (lost !== null && lost >= 0.05)
    words.push(t(found.is_exact ? "move_loses" : "move_loses_about", { count: boxes(lost) }));
  if (margin !== null) words.push(marginText(margin, found.is_exact));
  const text = words.join(", ");
  if (lost === null) return { grade: null, isBest, label: "", text };
  if (lost < MISTAKE) return { grade: "good", isBest, label: "", text };
  const grade = lost < BLUNDER ? "mistake" : "blunder";
  return { grade, isBest, label: `−${Math.round(lost)}`, text };
}

/**
 * By edge: how good it is; null where nothing is known yet.
 * @param {Analysis | null} found
 */
export const hintsOf = (found) =>
  found && new Map(found.edges.map((judged) => [judged.edge, hintOf(judged, found)]));

/** @param {Side} side */
export const seatOf = (side) => find($(`player-${side}`), "select", HTMLSelectElement);

/**
 * @param {Game} game
 * @param {Position} position
 */
export function showPlayers(game, position) {
  for (const side of SIDES) {
    const card = $(`player-${side}`), select = seatOf(side);
    /** @type {Seat[]} */
    const who = ["human", ...game.settings.levels];
    if (select.options.length !== who.length)
      select.replaceChildren(...who.map((seat) => new Option("", seat)));
    const person = t(game.isEngine(otherSide(side)) ? "you" : "human");
    who.forEach((seat, index) => {
      select.options[index].textContent = seat === "human" ? person : t(`level_${seat}`);
    });
    select.value = game.seats[side];
    select.setAttribute("aria-label", t("plays_side", { side: LETTERS[side] }));
    find(card, "small").textContent = game.state.names[side];
    const output = find(card, "output"), count = position.scores[side];
    output.textContent = String(count);
    output.setAttribute("aria-label", t("score_of", { side: LETTERS[side], count }));
    card.classList.toggle("moving", !position.isOver && position.toPlay === side);
    const isAhead = count > position.scores[otherSide(side)];
    card.classList.toggle("ahead", position.isOver && isAhead);
  }
}

/**
 * @param {Game} game
 * @param {Position} position
 */
function resultText(game, { scores: [first, second] }) {
  if (first === second) return t("draw", { score: `${first}–${second}` });
  const winner = first > second ? 0 : 1;
  const score = `${Math.max(first, second)}–${Math.min(first, second)}`;
  if (game.engines !== 1) return t("side_wins", { side: LETTERS[winner], score });
  return t(game.isEngine(winner) ? "you_lose" : "you_win", { score });
}

/**
 * @param {Game} game
 * @param {Position} position
 */
function statusText(game, position) {
  if (!game.isLive) {
    const { ply } = game;
    return ply ? t("looking", { ply, count: game.state.moves.length }) : t("looking_start");
  }
  if (position.isOver) return resultText(game, position);
  if (game.paused && game.engineToMove) return t("paused");
  if (game.engineToMove) return t("thinking");
  const again = position.closed.at(-1) ? "_again" : "";
  if (game.engines === 1) return t(`your_turn${again}`);
  return t(`side_turn${again}`, { side: LETTERS[position.toPlay] });
}

/**
 * @param {Game} game
 * @param {Position} position
 */
export function showStatus(game, position) {
  const status = $("status");
  const text = statusText(game, position);
  // A screen reader says it again if it is set again.
  if (status.textContent !== text) status.textContent = text;
  const side = position.isOver ? Math.sign(position.scores[1] - position.scores[0]) : null;
  status.dataset.side = side === null ? LETTERS[position.toPlay] : side ? LETTERS[(side + 1) / 2] : "";
  status.classList.toggle("busy", game.isLive && game.engineToMove && !game.paused);
  $("looking").hidden = game.isLive;

  $button("undo").disabled = !game.canUndo;
  $button("redo").disabled = !game.canRedo;
  $("pause").hidden = !game.engines || (game.engines === 1 && !game.paused);
  find($("pause"), "span").textContent = t(game.paused ? "resume" : "pause");
  $("pause").setAttribute("aria-pressed", String(game.paused));
  for (const [what, isShown] of Object.entries(game.shown))
    $(what).setAttribute("aria-pressed", String(isShown));

  const found = game.analysisAt(game.ply);
  $("legend").hidden = !game.shown.hint || position.isOver;
  const known = found?.edges.some(({ margin }) => margin !== null);
  $("legend").textContent = t(!found ? "hint_wait" : !known ? "hint_only_best"
    : found.is_exact ? "hint_exact" : "hint_estimated");
  const shape = game.shapeAt(game.ply);
  $("shape").hidden = !game.shown.chains || position.isOver;
  if (shape) $("shape").textContent = t("shape", { count: shape.long_chains });
}

/**
 * @param {Game} game
 * @param {Position} position
 * @param {Chart} chart
 */
export function showEvaluation(game, position, chart) {
  $("judged").hidden = !game.shown.evaluation;
  if (!game.shown.evaluation) return;
  const found = game.analysisAt(game.ply);
  // Where the margin is known, so is the chance.
  const margin = found?.margin ?? null, win = found?.win ?? null;
  let text = t("judging");
  if (position.isOver) text = resultText(game, position);
  else if (found) text = margin === null ? t("unknown") : marginText(margin, found.is_exact);
  if (win !== null && !found?.is_exact) {
    const side = win >= 0.5 ? 0 : 1;
    const share = Math.round(100 * (side ? 1 - win : win));
    text += ` · ${t("chance", { side: LETTERS[side], share })}`;
  }
  $("margin").textContent = text;
  // While a position is judged the bar stays where it was: it should glide, not jump to the middle.
  // Of another game it says nothing.
  if (found || $("bar").dataset.game !== game.key) {
    $("bar").dataset.game = game.key;
    $("bar").classList.toggle("unknown", margin === null);
    $("bar").style.setProperty("--share", String(win ?? 0.5));
  }
  $("bar").setAttribute("aria-label", t("eval_label", { text }));
  const { plies, boxes: { length: limit } } = game.board;
  const values = Array.from({ length: plies + 1 }, (_, ply) => {
    const there = ply <= game.state.moves.length ? game.analysisAt(ply) : null;
    if (!there || there.margin === null) return null;
    return { margin: there.margin, isExact: there.is_exact };
  });
  chart.update({ values, ply: game.ply, plies, limit });
}

/** The list of moves. It is built anew only when the moves change. */
export class MoveList {
  #list = $("moves");
  #built = "";
  /** @type {number | null} */
  #current = null;

  /**
   * `look` is called when a move is clicked, `point` when one is pointed at or none any more.
   * @param {{ look: (ply: number) => void, point: (edge: number | null) => void }} does
   */
  constructor({ look, point }) {
    this.#list.addEventListener("click", (event) => {
      const chip = around(event, "button");
      if (chip) look(Number(chip.dataset.ply));
    });
    onPointing(this.#list, "button", point);
  }

  /**
   * @param {Game} game
   * @param {Position} whole  after all moves, with those taken back
   */
  update(game, whole) {
    const { moves } = game.state;
    const signature = `${game.state.id} ${document.documentElement.lang} ${moves.join(",")}`;
    if (signature !== this.#built) {
      this.#built = signature;
      this.#current = null;
      this.#list.replaceChildren(...(moves.length ? [this.#start()] : []),
        ...moves.map((edge, index) => this.#chip(game.board.edges[edge], index, whole)));
      $("no-moves").hidden = moves.length > 0;
    }
    [...this.#list.children].forEach((item, ply) => {
      const isCurrent = ply === game.ply;
      const chip = find(item, "button");
      if (isCurrent) chip.setAttribute("aria-current", "true");
      else chip.removeAttribute("aria-current");
      item.classList.toggle("undone", ply > game.state.ply);
    });
    const current = this.#list.children[game.ply];
    if (current instanceof HTMLElement && this.#current !== game.ply) {
      this.#current = game.ply;
      // Not scrollIntoView: that would move the whole page as well.
      const below = current.offsetTop + current.offsetHeight - this.#list.clientHeight;
      if (this.#list.scrollTop > current.offsetTop - 8) this.#list.scrollTop = current.offsetTop - 8;
      else if (this.#list.scrollTop < below + 8) this.#list.scrollTop = below + 8;
    }
    $button("first").disabled = $button("earlier").disabled = game.ply === 0;
    $button("later").disabled = $button("last").disabled = game.ply === moves.length;
  }

  #start() {
    return htmlElement("li", {}, this.#button(0, "start", t("start")));
  }

  /**
   * @param {Edge} edge
   * @param {number} index
   * @param {Position} whole
   */
  #chip(edge, index, whole) {
    const side = whole.movers[index], closed = whole.closed[index];
    const number = htmlElement("span", { className: "number", textContent: String(index + 1) });
    const marks = Array.from({ length: closed }, () => htmlElement("i"));
    const chip = this.#button(
      index + 1, LETTERS[side].toLowerCase(), number, edge.name, ...marks);
    chip.dataset.edge = String(edge.id);
    const words = [t("move_label", { number: index + 1, side: LETTERS[side], name: edge.name })];
    if (closed) words.push(t("move_boxes", { count: closed }));
    chip.setAttribute("aria-label", words.join(", "));
    return htmlElement("li", {}, chip);
  }

  /**
   * @param {number} ply
   * @param {string} kind
   * @param {...(Node | string)} content
   */
  #button(ply, kind, ...content) {
    const button = htmlElement("button", { type: "button", className: `chip ${kind}` }, ...content);
    button.dataset.ply = String(ply);
    return button;
  }
}
