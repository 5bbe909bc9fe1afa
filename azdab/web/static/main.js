// @ts-check
// Brings the parts of the page together.

import { BoardView } from "./board.js";
import { Chart } from "./chart.js";
import {
  prepareExport, prepareGames, prepareHelp, prepareImport, prepareNew, words,
} from "./dialogs.js";
import { $, around, find, isShortcut, keep, kept } from "./dom.js";
import { Game } from "./game.js";
import { switchLanguage, t, translate } from "./i18n.js";
import { hintsOf, MoveList, seatOf, showEvaluation, showPlayers, showStatus } from "./panels.js";
import { positionAt, SIDES } from "./rules.js";

/** @import { Seat } from "./types.js" */

const THEMES = /** @type {const} */ (["auto", "light", "dark"]);
const SHOWN = "azdab-shown";

const game = new Game({
  change: show,
  notice: (error) => tell(words(error), true),
  branch: () => tell(t("branched")),
});
/**
 * The edge pointed at in the list of moves, and the one on the board.
 * @type {Record<"list" | "board", number | null>}
 */
const pointed = { list: null, board: null };
let shownKey = "";

/** @param {"list" | "board"} where */
const point = (where) => (/** @type {number | null} */ edge) => {
  if (pointed[where] === edge) return;
  pointed[where] = edge;
  show();
};

const board = new BoardView($("board", SVGSVGElement), {
  play: (edge) => game.play(edge),
  point: point("board"),
});
const chart = new Chart($("chart", SVGSVGElement), {
  look: (ply) => game.hasBegun && game.look(ply),
});
const moves = new MoveList({ look: (ply) => game.look(ply), point: point("list") });

function show() {
  if (!game.hasBegun) return;
  const { position } = game;
  if (game.key !== shownKey) {
    // What was pointed at belonged to the game before.
    shownKey = game.key;
    pointed.list = pointed.board = null;
  }
  const hints = game.shown.hint ? hintsOf(game.analysisAt(game.ply)) : null;
  board.update({
    board: game.board,
    position,
    playable: game.canPlay,
    hints,
    chains: (game.shown.chains && game.shapeAt(game.ply)?.chains) || null,
    pointed: pointed.list,
  });
  showPlayers(game, position);
  showStatus(game, position);
  const edge = pointed.board;
  const text = edge !== null && hints?.get(edge)?.text;
  if (edge !== null && text) $("legend").textContent = `${game.board.edges[edge].name}: ${text}`;
  showEvaluation(game, position, chart);
  moves.update(game, positionAt(game.board, game.state.moves, game.state.moves.length));
}

let silence = 0;
/**
 * @param {string} text
 * @param {boolean} [isError]
 */
function tell(text, isError = false) {
  clearTimeout(silence);
  find($("notice"), "span").textContent = text;
  $("notice").classList.toggle("bad", isError);
  $("notice").hidden = false;
  if (!isError) silence = setTimeout(hush, 6000);
}

function hush() {
  $("notice").hidden = true;
}

const themeNow = () =>
  THEMES.find((name) => name === document.documentElement.dataset.theme) ?? "auto";

function showTheme() {
  const text = t("theme", { theme: t(`theme_${themeNow()}`) });
  $("theme").setAttribute("aria-label", text);
  $("theme").title = text;
}

function nextTheme() {
  const theme = THEMES[(THEMES.indexOf(themeNow()) + 1) % THEMES.length];
  document.documentElement.dataset.theme = theme;
  keep("azdab-theme", theme);
  showTheme();
}

const openNew = prepareNew(game);
const openImport = prepareImport(game, tell);
const openExport = prepareExport(game);
const openGames = prepareGames(game);
const openHelp = prepareHelp();

/** @param {keyof typeof game.shown} what */
function toggle(what) {
  game.toggle(what);
  keep(SHOWN, JSON.stringify(game.shown));
}

/** What buttons and keys do, by the id of the button. */
const actions = {
  new: openNew,
  import: openImport,
  export: openExport,
  games: openGames,
  help: openHelp,
  theme: nextTheme,
  language: () => {
    switchLanguage();
    translate();
    showTheme();
    show();
  },
  undo: () => game.undo(),
  redo: () => game.redo(),
  pause: () => game.engines && game.setPaused(!game.paused),
  hint: () => toggle("hint"),
  chains: () => toggle("chains"),
  evaluation: () => toggle("evaluation"),
  back: () => game.look(game.state.ply),
  "from-here": () => game.playFromHere(),
  first: () => game.look(0),
  earlier: () => game.look(game.ply - 1),
  later: () => game.look(game.ply + 1),
  last: () => game.look(game.state.moves.length),
};
/** @type {Record<string, keyof typeof actions | undefined>} */
const KEYS = {
  u: "undo", r: "redo", h: "hint", c: "chains", e: "evaluation", p: "pause", n: "new", "?": "help",
  ",": "earlier", ".": "later", Home: "first", End: "last",
};
/**
 * The same, where no edge can be chosen.
 * @type {Record<string, keyof typeof actions | undefined>}
 */
const BROWSING = { ArrowLeft: "earlier", ArrowRight: "later" };

for (const [id, act] of Object.entries(actions))
  $(id).addEventListener("click", () => game.hasBegun && act());
find($("notice"), "button").addEventListener("click", hush);
for (const side of SIDES) {
  const select = seatOf(side);
  select.addEventListener("change", () => game.seat(side, /** @type {Seat} */ (select.value)));
}

document.addEventListener("keydown", (event) => {
  if (isShortcut(event) || !game.hasBegun) return;
  if (document.querySelector("dialog[open]") || around(event, "input, select, textarea")) return;
  const browsing = !game.isLive || game.live.isOver;
  const id = KEYS[event.key] ?? KEYS[event.key.toLowerCase()] ?? (browsing && BROWSING[event.key]);
  if (id) actions[id]();
  else if (event.key.startsWith("Arrow") && event.target === document.body) board.focus();
  else return;
  event.preventDefault();
});

// Where nothing can be kept, leaving the page loses the game.
addEventListener("beforeunload", (event) => {
  if (game.hasBegun && !game.isKept && game.state.moves.length) event.preventDefault();
});

translate();
showTheme();
$("status").textContent = t("loading");
try {
  /** @type {Partial<typeof game.shown>} */
  const shown = JSON.parse(kept(SHOWN) ?? "{}");
  Object.assign(game.shown, shown, { hint: false });
} catch {
  // Nothing kept, or not ours.
}
try {
  await game.start();
} catch (error) {
  $("status").textContent = words(error);
}
