// The curve of the evaluation: the first player's expected final margin after every move.

import { element } from "./board.js";
import { t } from "./i18n.js";

const LEFT = 40, RIGHT = 10, TOP = 10, BOTTOM = 10;

export class Chart {
  #svg;
  #values = [];
  #drawn = "";
  #shown = { ply: 0, plies: 1, limit: 1 };

  /** `look(ply)` is called when a place of the curve is clicked. */
  constructor(svg, { look }) {
    this.#svg = svg;
    new ResizeObserver(() => this.#draw()).observe(svg);
    svg.addEventListener("click", (event) => {
      const { left, width } = svg.getBoundingClientRect();
      const share = (event.clientX - left - LEFT) / (width - LEFT - RIGHT);
      look(Math.round(Math.max(0, Math.min(share, 1)) * this.#shown.plies));
    });
  }

  /** `values`: by ply {margin, isExact} or null; `limit`: the largest margin there can be. */
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
    const x = (at) => LEFT + ((width - LEFT - RIGHT) * at) / plies;
    const y = (margin) => TOP + ((height - TOP - BOTTOM) * (peak - margin)) / (2 * peak);

    const shapes = [
      element("clipPath", { id: "above" }, element("rect", { x: 0, y: 0, width, height: y(0) })),
      element("clipPath", { id: "below" }, element("rect", { x: 0, y: y(0), width, height: height - y(0) })),
    ];
    for (const margin of [peak, 0, -peak]) {
      const kind = margin ? "grid" : "grid zero";
      shapes.push(element("line", { x1: LEFT, x2: width - RIGHT, y1: y(margin), y2: y(margin), class: kind }));
      const label = margin > 0 ? `A +${margin}` : margin < 0 ? `B +${-margin}` : "0";
      shapes.push(element("text", { x: LEFT - 5, y: y(margin) + 3.5, class: "label" }, label));
    }
    for (const run of this.#runs()) {
      const points = run.map(([at, { margin }]) => `${x(at).toFixed(1)},${y(margin).toFixed(1)}`);
      const area = [`${x(run[0][0])},${y(0)}`, ...points, `${x(run.at(-1)[0])},${y(0)}`].join(" ");
      shapes.push(element("polygon", { points: area, class: "area a", "clip-path": "url(#above)" }));
      shapes.push(element("polygon", { points: area, class: "area b", "clip-path": "url(#below)" }));
      shapes.push(element("polyline", { points: points.join(" "), class: "curve" }));
      if (run.length === 1) shapes.push(element("circle", { cx: x(run[0][0]), cy: y(run[0][1].margin), r: 2.5, class: "point" }));
    }
    shapes.push(element("line", { x1: x(ply), x2: x(ply), y1: TOP, y2: height - BOTTOM, class: "cursor" }));
    const here = this.#values[ply];
    if (here) shapes.push(element("circle", { cx: x(ply), cy: y(here.margin), r: 4.5, class: "here" }));
    this.#svg.replaceChildren(...shapes);
  }

  /** Stretches of the game without gaps, as lists of [ply, value]. */
  #runs() {
    const runs = [];
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
