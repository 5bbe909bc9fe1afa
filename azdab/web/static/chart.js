// @ts-check
// The curve of the evaluation: the first player's expected final margin after every move.

import { svgElement } from "./dom.js";
import { t } from "./i18n.js";

/** @typedef {{ margin: number, isExact: boolean }} Value */

const LEFT = 40, RIGHT = 10, TOP = 10, BOTTOM = 10;

export class Chart {
  #svg;
  /** @type {(Value | null)[]} */
  #values = [];
  #drawn = "";
  #shown = { ply: 0, plies: 1, limit: 1 };

  /**
   * @param {SVGSVGElement} svg
   * @param {{ look: (ply: number) => void }} does called when a place of the curve is clicked
   */
  constructor(svg, { look }) {
    this.#svg = svg;
    new ResizeObserver(() => this.#draw()).observe(svg);
    svg.addEventListener("click", (event) => {
      const { left, width } = svg.getBoundingClientRect();
      const share = (event.clientX - left - LEFT) / (width - LEFT - RIGHT);
      look(Math.round(Math.max(0, Math.min(share, 1)) * this.#shown.plies));
    });
  }

  /**
   * `values`: by ply; `plies`: of a whole game; `limit`: the largest margin there can be.
   * @param {{ values: (Value | null)[], ply: number, plies: number, limit: number }} shown
   */
  update({ values, ply, plies, limit }) {
    this.#values = values;
    this.#shown = { ply, plies, limit };
    this.#draw();
  }

  #draw() {
    const width = this.#svg.clientWidth, height = this.#svg.clientHeight;
    const { ply, plies, limit } = this.#shown;
    const signature = JSON.stringify([width, height, this.#shown, this.#values, t("chart_label", {})]);
    if (!width || signature === this.#drawn) return;
    this.#drawn = signature;
    this.#svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
    const margins = this.#values.flatMap((value) => (value ? [Math.abs(value.margin)] : []));
    const peak = Math.min(limit, Math.max(2, Math.ceil(Math.max(0, ...margins))));
    /** @param {number} at */
    const x = (at) => LEFT + ((width - LEFT - RIGHT) * at) / plies;
    /** @param {number} margin */
    const y = (margin) => TOP + ((height - TOP - BOTTOM) * (peak - margin)) / (2 * peak);

    /** @type {SVGElement[]} */
    const shapes = [
      svgElement("clipPath", { id: "above" },
        svgElement("rect", { x: 0, y: 0, width, height: y(0) })),
      svgElement("clipPath", { id: "below" },
        svgElement("rect", { x: 0, y: y(0), width, height: height - y(0) })),
    ];
    for (const margin of [peak, 0, -peak]) {
      const kind = margin ? "grid" : "grid zero";
      const at = y(margin);
      shapes.push(svgElement("line",
        { x1: LEFT, x2: width - RIGHT, y1: at, y2: at, class: kind }));
      const label = margin > 0 ? `A +${margin}` : margin < 0 ? `B +${-margin}` : "0";
      shapes.push(svgElement("text", { x: LEFT - 5, y: at + 3.5, class: "label" }, label));
    }
    for (const run of this.#runs()) {
      const points = run.map(([at, { margin }]) => `${x(at).toFixed(1)},${y(margin).toFixed(1)}`);
      const [start, value] = run[0], [end] = run[run.length - 1];
      const area = [`${x(start)},${y(0)}`, ...points, `${x(end)},${y(0)}`].join(" ");
      for (const [side, clip] of [["a", "above"], ["b", "below"]])
        shapes.push(svgElement("polygon",
          { points: area, class: `area ${side}`, "clip-path": `url(#${clip})` }));
      shapes.push(svgElement("polyline", { points: points.join(" "), class: "curve" }));
      if (run.length === 1)
        shapes.push(svgElement("circle",
          { cx: x(start), cy: y(value.margin), r: 2.5, class: "point" }));
    }
    shapes.push(svgElement("line",
      { x1: x(ply), x2: x(ply), y1: TOP, y2: height - BOTTOM, class: "cursor" }));
    const here = this.#values[ply];
    if (here)
      shapes.push(svgElement("circle", { cx: x(ply), cy: y(here.margin), r: 4.5, class: "here" }));
    this.#svg.replaceChildren(...shapes);
  }

  /** Stretches of the game without gaps, as lists of [ply, value]. */
  #runs() {
    /** @type {[number, Value][][]} */
    const runs = [];
    /** @type {[number, Value][]} */
    let run = [];
    [...this.#values, null].forEach((value, at) => {
      if (value) run.push([at, value]);
      else if (run.length) {
        runs.push(run);
        run = [];
      }
    });
    return runs;
  }
}
