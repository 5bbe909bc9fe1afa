// @ts-check
// The board as SVG: drawn once for a size, then updated, so that focus and movement survive.

import { edgeOf, isShortcut, onPointing, svgElement } from "./dom.js";
import { sizeText, t } from "./i18n.js";
import { LETTERS, neighbour } from "./rules.js";

/** @import { Board, Edge, Position } from "./rules.js" */
/** @import { Chain } from "./types.js" */

/**
 * How good an edge is, if that is known: in words, and in boxes lost where they are a mistake.
 * @typedef {{ grade: "good" | "mistake" | "blunder" | null, isBest: boolean, label: string,
 *   text: string }} Hint
 */

const SIDE = 100; // of a box, in the picture's units
const RIM = 34;

/** @param {number} steps  half boxes from the left or the top */
const half = (steps) => RIM + (steps * SIDE) / 2;

export class BoardView {
  #svg;
  /** @type {Board | null} */
  #board = null;
  /** @type {{ group: SVGGElement, title: SVGTitleElement, loss: SVGTextElement }[]} */
  #edges = [];
  /** @type {{ group: SVGGElement, letter: SVGTextElement }[]} */
  #boxes = [];
  #chains = svgElement("g", { class: "chains" });
  #cursor = 0;

  /**
   * `play` is called when an edge is chosen, `point` when one is pointed at or none any more.
   * @param {SVGSVGElement} svg
   * @param {{ play: (edge: number) => void, point: (edge: number | null) => void }} does
   */
  constructor(svg, { play, point }) {
    this.#svg = svg;
    svg.addEventListener("click", (event) => {
      const edge = edgeOf(event, ".edge");
      if (edge === null) return;
      this.#moveCursor(edge);
      play(edge);
    });
    svg.addEventListener("keydown", (event) => {
      if (isShortcut(event) || !this.#board) return;
      if (event.key.startsWith("Arrow")) {
        this.#moveCursor(neighbour(this.#board, this.#cursor, event.key));
        this.focus();
      } else if (event.key === "Enter" || event.key === " ") {
        play(this.#cursor);
      } else return;
      event.preventDefault();
      event.stopPropagation();
    });
    onPointing(svg, ".edge", point);
  }

  focus() {
    this.#edges[this.#cursor]?.group.focus();
  }

  /** @param {number} edge */
  #moveCursor(edge) {
    this.#edges[this.#cursor]?.group.setAttribute("tabindex", "-1");
    this.#cursor = edge;
    this.#edges[edge].group.setAttribute("tabindex", "0");
  }

  /** @param {Board} board */
  #build(board) {
    this.#board = board;
    this.#cursor = 0;
    const width = board.cols * SIDE + 2 * RIM, height = board.rows * SIDE + 2 * RIM;
    this.#svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
    this.#svg.style.setProperty("--cols", String(board.cols));
    this.#svg.style.setProperty("--ratio", String(width / height));

    this.#boxes = board.boxes.map((box) => {
      const x = half(box.x), y = half(box.y), width = SIDE - 12;
      const letter = svgElement("text", { x, y, class: "letter" });
      const square = svgElement("rect",
        { x: x - width / 2, y: y - width / 2, width, height: width, rx: 12 });
      return { group: svgElement("g", { class: "box" }, square, letter), letter };
    });
    this.#edges = board.edges.map((edge) => this.#edge(edge));
    const dots = svgElement("g", { class: "dots" });
    for (let row = 0; row <= board.rows; row++)
      for (let col = 0; col <= board.cols; col++)
        dots.append(svgElement("circle", { cx: half(2 * col), cy: half(2 * row), r: 7.5 }));
    const edges = svgElement("g", {}, ...this.#edges.map(({ group }) => group));
    this.#svg.replaceChildren(
      svgElement("g", { "aria-hidden": "true" },
        ...this.#boxes.map(({ group }) => group), this.#chains),
      edges, dots);
    this.#moveCursor(0);
  }

  /** @param {Edge} edge */
  #edge(edge) {
    const x = half(edge.x), y = half(edge.y);
    const [dx, dy] = edge.flat ? [SIDE / 2, 0] : [0, SIDE / 2];
    // Every place of the picture belongs to the nearest edge: a diamond between two dots and
    // the centres of the two boxes.
    const diamond = [[x - SIDE / 2, y], [x, y - SIDE / 2], [x + SIDE / 2, y], [x, y + SIDE / 2]];
    const line = svgElement("line", {
      x1: x - dx, y1: y - dy, x2: x + dx, y2: y + dy, pathLength: 100, class: "line",
    });
    const ring = svgElement("rect", {
      x: x - dx * 0.8 - 15, y: y - dy * 0.8 - 15,
      width: 1.6 * dx + 30, height: 1.6 * dy + 30, rx: 15, class: "ring",
    });
    const title = svgElement("title");
    const loss = svgElement("text", { x, y, class: "loss", "aria-hidden": "true" });
    const group = svgElement("g",
      { class: "edge", role: "button", tabindex: "-1", "data-edge": edge.id },
      title, svgElement("polygon", { points: diamond.join(" "), class: "hit" }), ring, line,
      svgElement("circle", { cx: x, cy: y, r: 9, class: "star" }), loss);
    return { group, title, loss };
  }

  /**
   * Show a position.
   *   playable: whether an edge can be drawn now; hints: by edge; chains: of the host;
   *   pointed: an edge to emphasise.
   * @param {{ board: Board, position: Position, playable: boolean,
   *   hints: Map<number, Hint> | null, chains: Chain[] | null, pointed: number | null }} shown
   */
  update({ board, position, playable, hints, chains, pointed }) {
    if (board !== this.#board) this.#build(board);
    this.#svg.classList.toggle("playable", playable);
    this.#svg.dataset.mover = LETTERS[position.toPlay];
    this.#svg.setAttribute("aria-label", t("board_label", { size: sizeText(board.size) }));
    board.edges.forEach((edge, id) => {
      const { group, title, loss } = this.#edges[id];
      const drawn = position.drawn[id];
      const hint = drawn ? null : hints?.get(id);
      const classes = ["edge", drawn ? "drawn" : "open"];
      if (id === position.last) classes.push("last");
      if (id === pointed) classes.push("pointed");
      if (hint?.grade) classes.push(hint.grade);
      if (hint?.isBest) classes.push("best");
      group.setAttribute("class", classes.join(" "));
      loss.textContent = hint?.label ?? "";
      const words = [t(edge.flat ? "edge_h" : "edge_v", { row: edge.row, col: edge.col })];
      if (drawn) words.push(t("edge_drawn"));
      if (hint?.text) words.push(hint.text);
      group.setAttribute("aria-label", words.join(", "));
      group.setAttribute("aria-disabled", String(drawn || !playable));
      title.textContent = hint?.text ? `${edge.name}: ${hint.text}` : edge.name;
    });
    position.owners.forEach((owner, box) => {
      const { group, letter } = this.#boxes[box];
      const name = owner === null ? "" : LETTERS[owner];
      group.setAttribute("class", name ? `box owned ${name.toLowerCase()}` : "box");
      letter.textContent = name;
    });
    this.#drawChains(board, position, chains ?? []);
  }

  /**
   * Ribbons through the boxes of each chain, from centre to centre where no edge is between.
   * @param {Board} board
   * @param {Position} position
   * @param {Chain[]} chains
   */
  #drawChains(board, position, chains) {
    /** @param {number} box */
    const centre = (box) => [half(board.boxes[box].x), half(board.boxes[box].y)];
    const several = chains.filter(({ boxes }) => boxes.length > 1);
    const ribbons = several.map(({ boxes, is_long, is_loop }) => {
      const inside = new Set(boxes);
      let path = "";
      for (const box of boxes) {
        for (const edge of board.boxes[box].edges) {
          const other = board.edges[edge].boxes.find((beside) => beside > box);
          if (other === undefined || !inside.has(other) || position.drawn[edge]) continue;
          path += `M${centre(box)} L${centre(other)} `;
        }
      }
      const kind = is_loop ? "loop" : is_long ? "long" : "short";
      return svgElement("path", { d: path.trim(), class: `chain ${kind}` });
    });
    this.#chains.replaceChildren(...ribbons);
  }
}
