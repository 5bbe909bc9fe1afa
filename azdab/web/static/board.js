// The board as SVG: drawn once for a size, then updated, so that focus and movement survive.

import { neighbour } from "./rules.js";
import { t } from "./i18n.js";

const SIDE = 100; // of a box, in the picture's units
const RIM = 34;
const LETTERS = "AB";

export function element(name, attributes = {}, ...children) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);
  return made;
}

const half = (steps) => RIM + (steps * SIDE) / 2;

export class BoardView {
  #svg;
  #board = null;
  #edges = [];
  #boxes = [];
  #chains = null;
  #cursor = 0;

  /** `play(edge)` is called when an edge is chosen, `point(edge or null)` when one is pointed at. */
  constructor(svg, { play, point }) {
    this.#svg = svg;
    const edgeOf = (event) => {
      const found = event.target.closest?.(".edge");
      return found ? Number(found.dataset.edge) : null;
    };
    svg.addEventListener("click", (event) => {
      const edge = edgeOf(event);
      if (edge === null) return;
      this.#moveCursor(edge);
      play(edge);
    });
    svg.addEventListener("keydown", (event) => {
      if (event.ctrlKey || event.metaKey || event.altKey) return;
      if (event.key.startsWith("Arrow")) {
        this.#moveCursor(neighbour(this.#board, this.#cursor, event.key));
        this.focus();
      } else if (event.key === "Enter" || event.key === " ") {
        play(this.#cursor);
      } else return;
      event.preventDefault();
      event.stopPropagation();
    });
    for (const kind of ["pointerover", "focusin"])
      svg.addEventListener(kind, (event) => point(edgeOf(event)));
    for (const kind of ["pointerleave", "focusout"]) svg.addEventListener(kind, () => point(null));
  }

  focus() {
    this.#edges[this.#cursor]?.group.focus();
  }

  #moveCursor(edge) {
    this.#edges[this.#cursor]?.group.setAttribute("tabindex", "-1");
    this.#cursor = edge;
    this.#edges[edge].group.setAttribute("tabindex", "0");
  }

  #build(board) {
    this.#board = board;
    this.#cursor = 0;
    const width = board.cols * SIDE + 2 * RIM, height = board.rows * SIDE + 2 * RIM;
    this.#svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
    this.#svg.style.setProperty("--cols", board.cols);
    this.#svg.style.setProperty("--ratio", width / height);

    this.#boxes = Array.from({ length: board.boxes }, (_, box) => {
      const x = RIM + (box % board.cols) * SIDE, y = RIM + Math.floor(box / board.cols) * SIDE;
      const letter = element("text", { x: x + SIDE / 2, y: y + SIDE / 2, class: "letter" });
      const square = element("rect", { x: x + 6, y: y + 6, width: SIDE - 12, height: SIDE - 12, rx: 12 });
      return { group: element("g", { class: "box" }, square, letter), letter };
    });
    this.#edges = board.edges.map((edge) => this.#edge(edge));
    this.#chains = element("g", { class: "chains" });
    const dots = element("g", { class: "dots" });
    for (let row = 0; row <= board.rows; row++)
      for (let col = 0; col <= board.cols; col++)
        dots.append(element("circle", { cx: half(2 * col), cy: half(2 * row), r: 7.5 }));
    const edges = element("g", {}, ...this.#edges.map(({ group }) => group));
    this.#svg.replaceChildren(
      element("g", { "aria-hidden": "true" }, ...this.#boxes.map(({ group }) => group), this.#chains),
      edges, dots);
    this.#moveCursor(0);
  }

  #edge(edge) {
    const x = half(edge.x), y = half(edge.y);
    const [dx, dy] = edge.flat ? [SIDE / 2, 0] : [0, SIDE / 2];
    // Every place of the picture belongs to the nearest edge: a diamond between two dots and
    // the centres of the two boxes.
    const diamond = [[x - SIDE / 2, y], [x, y - SIDE / 2], [x + SIDE / 2, y], [x, y + SIDE / 2]];
    const line = element("line", {
      x1: x - dx, y1: y - dy, x2: x + dx, y2: y + dy, pathLength: 100, class: "line",
    });
    const ring = element("rect", {
      x: x - dx * 0.8 - 15, y: y - dy * 0.8 - 15,
      width: 1.6 * dx + 30, height: 1.6 * dy + 30, rx: 15, class: "ring",
    });
    const title = element("title");
    const group = element("g", { class: "edge", role: "button", tabindex: "-1", "data-edge": edge.id },
      title, element("polygon", { points: diamond.join(" "), class: "hit" }), ring, line,
      element("circle", { cx: x, cy: y, r: 9, class: "star" }));
    return { group, title };
  }

  /**
   * Show a position.
   *   playable: whether an edge can be drawn now; mover: 0 or 1, whose colour ghosts have.
   *   heat: by edge {heat, text}, or null; chains: of the host, or null;
   *   pointed: an edge to emphasise, or null.
   */
  update({ board, position, playable, heat, chains, pointed }) {
    if (board !== this.#board) this.#build(board);
    this.#svg.classList.toggle("playable", playable);
    this.#svg.classList.toggle("heated", Boolean(heat));
    this.#svg.dataset.mover = LETTERS[position.toPlay];
    this.#svg.setAttribute("aria-label", t("board_label", { size: board.size.replace("x", "×") }));
    board.edges.forEach((edge, id) => {
      const { group, title } = this.#edges[id];
      const drawn = position.drawn[id];
      const warmth = drawn ? null : heat?.get(id);
      const classes = ["edge", drawn ? "drawn" : "open"];
      if (id === position.last) classes.push("last");
      if (id === pointed) classes.push("pointed");
      if (warmth?.heat != null) classes.push("warm");
      if (warmth?.isBest) classes.push("best");
      group.setAttribute("class", classes.join(" "));
      if (warmth?.heat != null) group.style.setProperty("--heat", warmth.heat.toFixed(3));
      else group.style.removeProperty("--heat");
      const words = [t(edge.flat ? "edge_h" : "edge_v", { row: edge.row, col: edge.col })];
      if (drawn) words.push(t("edge_drawn"));
      if (warmth?.text) words.push(warmth.text);
      group.setAttribute("aria-label", words.join(", "));
      group.setAttribute("aria-disabled", String(drawn || !playable));
      title.textContent = warmth?.text ? `${edge.name}: ${warmth.text}` : edge.name;
    });
    position.owners.forEach((owner, box) => {
      const { group, letter } = this.#boxes[box];
      group.setAttribute("class", owner < 0 ? "box" : `box owned ${LETTERS[owner].toLowerCase()}`);
      letter.textContent = LETTERS[owner] ?? "";
    });
    this.#drawChains(position, chains ?? []);
  }

  /** Ribbons through the boxes of each chain, from centre to centre where no edge is between. */
  #drawChains(position, chains) {
    const board = this.#board;
    const centre = (box) => [half(2 * (box % board.cols) + 1), half(2 * Math.floor(box / board.cols) + 1)];
    const ribbons = chains.filter(({ boxes }) => boxes.length > 1).map(({ boxes, is_long, is_loop }) => {
      const inside = new Set(boxes);
      let path = "";
      for (const box of boxes) {
        for (const edge of board.around(box)) {
          const other = board.edges[edge].boxes.find((beside) => beside > box);
          if (other === undefined || !inside.has(other) || position.drawn[edge]) continue;
          path += `M${centre(box)} L${centre(other)} `;
        }
      }
      const kind = is_loop ? "loop" : is_long ? "long" : "short";
      return element("path", { d: path.trim(), class: `chain ${kind}` });
    });
    this.#chains.replaceChildren(...ribbons);
  }
}
