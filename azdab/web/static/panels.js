// What stands around the board: players, status, evaluation, moves.

import { t } from "./i18n.js";

const LETTERS = "AB";
const $ = (id) => document.getElementById(id);

/** A number of boxes as people write it: 3, 2.5. */
const boxes = (count) => String(Math.round(Math.abs(count) * 10) / 10);

/** What a margin of the first player means, in words. */
export function marginText(margin, isExact) {
  if (isExact && !margin) return t("margin_exact_draw");
  if (Math.abs(margin) < 0.05) return t("margin_even");
  const values = { side: LETTERS[margin > 0 ? 0 : 1], count: boxes(margin) };
  return t(isExact ? "margin_exact" : "margin_expected", values);
}

/** By edge: how good it is, and that in words; null where nothing is known yet. */
export function heatOf(found) {
  if (!found) return null;
  return new Map(found.edges.map(({ edge, heat, margin, loss }) => {
    const words = [];
    if (edge === found.best) words.push(t("move_is_best"));
    else if (loss >= 0.05) words.push(t("move_loses", { count: boxes(loss) }));
    if (margin !== null) words.push(marginText(margin, found.is_exact));
    return [edge, { heat, isBest: edge === found.best, text: words.join(", ") }];
  }));
}

export function showPlayers(game, position) {
  for (const side of [0, 1]) {
    const card = $(`player-${side}`), select = card.querySelector("select");
    const who = ["human", ...game.settings.levels];
    if (select.options.length !== who.length)
      select.replaceChildren(...who.map((seat) => new Option("", seat)));
    for (const option of select.options) {
      const alone = option.value === "human" && game.isEngine(1 - side);
      option.textContent = option.value === "human" ? t(alone ? "you" : "human") : t(`level_${option.value}`);
    }
    select.value = game.seats[side];
    select.setAttribute("aria-label", t("plays_side", { side: LETTERS[side] }));
    card.querySelector("small").textContent = game.state.names[side];
    const output = card.querySelector("output");
    output.textContent = position.scores[side];
    output.setAttribute("aria-label", t("score_of", { side: LETTERS[side], count: position.scores[side] }));
    card.classList.toggle("moving", !position.isOver && position.toPlay === side);
    card.classList.toggle("ahead", position.isOver && position.scores[side] > position.scores[1 - side]);
  }
}

function resultText(game, { scores: [first, second] }) {
  if (first === second) return t("draw", { score: `${first}–${second}` });
  const winner = first > second ? 0 : 1;
  const score = `${Math.max(first, second)}–${Math.min(first, second)}`;
  if (game.engines !== 1) return t("side_wins", { side: LETTERS[winner], score });
  return t(game.isEngine(winner) ? "you_lose" : "you_win", { score });
}

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

export function showStatus(game, position) {
  const status = $("status");
  const text = statusText(game, position);
  // A screen reader says it again if it is set again.
  if (status.textContent !== text) status.textContent = text;
  const side = position.isOver ? Math.sign(position.scores[1] - position.scores[0]) : null;
  status.dataset.side = side === null ? LETTERS[position.toPlay] : side ? LETTERS[(side + 1) / 2] : "";
  status.classList.toggle("busy", game.isLive && game.engineToMove && !game.paused);
  $("looking").hidden = game.isLive;
  $("from-here").hidden = game.ply > game.state.ply;

  $("undo").disabled = !game.state.ply;
  $("redo").disabled = game.state.ply >= game.state.moves.length;
  $("pause").hidden = !game.engines || (game.engines === 1 && !game.paused);
  $("pause").querySelector("span").textContent = t(game.paused ? "resume" : "pause");
  $("pause").setAttribute("aria-pressed", String(game.paused));
  for (const what of ["hint", "chains", "evaluation"])
    $(what).setAttribute("aria-pressed", String(game.shown[what]));

  const found = game.analysisAt(game.ply);
  $("legend").hidden = !game.shown.hint || position.isOver;
  const known = found?.edges.some(({ margin }) => margin !== null);
  $("legend").textContent = t(!found ? "hint_wait" : known ? "hint_legend" : "hint_only_best");
  const shape = game.shapeAt(game.ply);
  $("shape").hidden = !game.shown.chains || position.isOver;
  if (shape) $("shape").textContent = t("shape", { count: shape.long_chains, side: LETTERS[shape.controller] });
}

export function showEvaluation(game, position, chart) {
  $("judged").hidden = !game.shown.evaluation;
  if (!game.shown.evaluation) return;
  const found = game.analysisAt(game.ply);
  const known = found && found.margin !== null;
  let text = t("judging"), share = null;
  if (position.isOver) text = resultText(game, position);
  else if (found) text = known ? marginText(found.margin, found.is_exact) : t("unknown");
  if (known) {
    share = found.win;
    if (!found.is_exact) {
      const side = found.win >= 0.5 ? 0 : 1;
      const chance = Math.round(100 * (side ? 1 - found.win : found.win));
      text += ` · ${t("chance", { side: LETTERS[side], share: chance })}`;
    }
  }
  $("margin").textContent = text;
  // While a position is judged the bar stays where it was: it should glide, not jump to the middle.
  if (found) {
    $("bar").classList.toggle("unknown", !known);
    $("bar").style.setProperty("--share", share ?? 0.5);
  }
  $("bar").setAttribute("aria-label", t("eval_label", { text }));
  const plies = game.board.edges.length;
  const values = Array.from({ length: plies + 1 }, (_, ply) => {
    const there = ply <= game.state.moves.length ? game.analysisAt(ply) : null;
    return there && there.margin !== null ? { margin: there.margin, isExact: there.is_exact } : null;
  });
  chart.update({ values, ply: game.ply, plies, limit: game.board.boxes });
}

/** The list of moves. It is built anew only when the moves change. */
export class MoveList {
  #list = $("moves");
  #built = null;
  #current = null;

  /** `look(ply)` when a move is clicked, `point(edge or null)` when one is pointed at. */
  constructor({ look, point }) {
    this.#list.addEventListener("click", (event) => {
      const chip = event.target.closest("button");
      if (chip) look(Number(chip.dataset.ply));
    });
    for (const kind of ["pointerover", "focusin"])
      this.#list.addEventListener(kind, (event) => {
        const edge = event.target.closest("button")?.dataset.edge;
        point(edge === undefined ? null : Number(edge));
      });
    for (const kind of ["pointerleave", "focusout"])
      this.#list.addEventListener(kind, () => point(null));
  }

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
      item.firstChild.toggleAttribute("aria-current", isCurrent);
      if (isCurrent) item.firstChild.setAttribute("aria-current", "true");
      item.classList.toggle("undone", ply > game.state.ply);
    });
    const current = this.#list.children[game.ply];
    if (current && this.#current !== game.ply) {
      this.#current = game.ply;
      // Not scrollIntoView: that would move the whole page as well.
      const below = current.offsetTop + current.offsetHeight - this.#list.clientHeight;
      if (this.#list.scrollTop > current.offsetTop - 8) this.#list.scrollTop = current.offsetTop - 8;
      else if (this.#list.scrollTop < below + 8) this.#list.scrollTop = below + 8;
    }
    $("first").disabled = $("earlier").disabled = game.ply === 0;
    $("later").disabled = $("last").disabled = game.ply === moves.length;
  }

  #start() {
    const chip = this.#button(0, t("start"));
    chip.className = "chip start";
    const item = document.createElement("li");
    item.append(chip);
    return item;
  }

  #chip(edge, index, whole) {
    const side = whole.movers[index], closed = whole.closed[index];
    const chip = this.#button(index + 1, edge.name);
    chip.className = `chip ${LETTERS[side].toLowerCase()}`;
    chip.dataset.edge = edge.id;
    const words = [t("move_label", { number: index + 1, side: LETTERS[side], name: edge.name })];
    if (closed) words.push(t("move_boxes", { count: closed }));
    chip.setAttribute("aria-label", words.join(", "));
    const number = document.createElement("span");
    number.className = "number";
    number.textContent = index + 1;
    chip.prepend(number);
    for (let box = 0; box < closed; box++) {
      const mark = document.createElement("i");
      chip.append(mark);
    }
    const item = document.createElement("li");
    item.append(chip);
    return item;
  }

  #button(ply, text) {
    const button = document.createElement("button");
    button.type = "button";
    button.dataset.ply = ply;
    button.textContent = text;
    return button;
  }
}
