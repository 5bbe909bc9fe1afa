// Brings the parts of the page together.

import { BoardView } from "./board.js";
import { Chart } from "./chart.js";
import { prepareExport, prepareHelp, prepareImport, prepareNew, words } from "./dialogs.js";
import { Game } from "./game.js";
import { switchLanguage, t, translate } from "./i18n.js";
import { heatOf, MoveList, showEvaluation, showPlayers, showStatus } from "./panels.js";
import { positionAt } from "./rules.js";

const $ = (id) => document.getElementById(id);
const THEMES = ["auto", "light", "dark"];
const SHOWN = "azdab-shown";

const game = new Game();
/** The edge pointed at in the list of moves, and the one on the board. */
const pointed = { list: null, board: null };

const point = (where) => (edge) => {
  if (pointed[where] === edge) return;
  pointed[where] = edge;
  show();
};

function keep(name, value) {
  try {
    localStorage.setItem(name, value);
  } catch {
    // Storage may be forbidden: then the choice lasts as long as the page.
  }
}

const board = new BoardView($("board"), {
  play: (edge) => game.play(edge),
  point: point("board"),
});
const chart = new Chart($("chart"), { look: (ply) => game.state && game.look(ply) });
const moves = new MoveList({ look: (ply) => game.look(ply), point: point("list") });

function show() {
  if (!game.state) return;
  const { position } = game;
  const heat = game.shown.hint ? heatOf(game.analysisAt(game.ply)) : null;
  board.update({
    board: game.board,
    position,
    playable: game.canPlay,
    heat,
    chains: game.shown.chains ? game.shapeAt(game.ply)?.chains : null,
    pointed: pointed.list,
  });
  showPlayers(game, position);
  showStatus(game, position);
  const aimed = heat?.get(pointed.board);
  if (aimed?.text) $("legend").textContent = `${game.board.edges[pointed.board].name}: ${aimed.text}`;
  showEvaluation(game, position, chart);
  moves.update(game, positionAt(game.board, game.state.moves, game.state.moves.length));
}

let silence = 0;
function tell(text, isError = false) {
  clearTimeout(silence);
  $("notice").querySelector("span").textContent = text;
  $("notice").classList.toggle("bad", isError);
  $("notice").hidden = false;
  if (!isError) silence = setTimeout(() => ($("notice").hidden = true), 6000);
}

function showTheme() {
  const theme = document.documentElement.dataset.theme;
  const text = t("theme", { theme: t(`theme_${theme}`) });
  $("theme").setAttribute("aria-label", text);
  $("theme").title = text;
}

function nextTheme() {
  const { dataset } = document.documentElement;
  dataset.theme = THEMES[(THEMES.indexOf(dataset.theme) + 1) % THEMES.length];
  keep("azdab-theme", dataset.theme);
  showTheme();
}

const openNew = prepareNew(game);
const openImport = prepareImport(game, tell);
const openExport = prepareExport(game);
const openHelp = prepareHelp();

function toggle(what) {
  game.toggle(what);
  keep(SHOWN, JSON.stringify(game.shown));
}

/** What buttons and keys do, by the id of the button. */
const actions = {
  new: openNew,
  import: openImport,
  export: openExport,
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
const KEYS = {
  u: "undo", r: "redo", h: "hint", c: "chains", e: "evaluation", p: "pause", n: "new", "?": "help",
  ",": "earlier", ".": "later", Home: "first", End: "last",
};

for (const [id, act] of Object.entries(actions))
  $(id).addEventListener("click", () => game.state && act());
$("notice").querySelector("button").addEventListener("click", () => ($("notice").hidden = true));
for (const side of [0, 1])
  $(`player-${side}`).querySelector("select")
    .addEventListener("change", (event) => game.seat(side, event.target.value));

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || !game.state) return;
  if (document.querySelector("dialog[open]") || event.target.closest("input, select, textarea")) return;
  const id = KEYS[event.key] ?? KEYS[event.key.toLowerCase()];
  if (id) actions[id]();
  else if (event.key.startsWith("Arrow") && event.target === document.body) board.focus();
  else return;
  event.preventDefault();
});

game.addEventListener("change", show);
game.addEventListener("notice", ({ detail }) => tell(words(detail), true));

translate();
showTheme();
$("status").textContent = t("loading");
try {
  Object.assign(game.shown, JSON.parse(localStorage.getItem(SHOWN) ?? "{}"), { hint: false });
} catch {
  // Nothing kept, or not ours.
}
try {
  await game.start();
} catch (error) {
  $("status").textContent = words(error);
}
