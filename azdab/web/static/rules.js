// The rules, as the page needs them: where edges are, whose boxes, whose turn.
// Edges and boxes are numbered as in azdab/game.py; the host has the last word.

/** A board with its edges. Places are in half boxes: a horizontal edge is at (odd, even). */
export function makeBoard(rows, cols) {
  const edges = [];
  for (let row = 0; row <= rows; row++)
    for (let col = 0; col < cols; col++)
      edges.push({ flat: true, row, col, x: 2 * col + 1, y: 2 * row });
  const horizontal = edges.length;
  for (let row = 0; row < rows; row++)
    for (let col = 0; col <= cols; col++)
      edges.push({ flat: false, row, col, x: 2 * col, y: 2 * row + 1 });
  edges.forEach((edge, id) => {
    edge.id = id;
    edge.name = `${edge.flat ? "h" : "v"} ${edge.row} ${edge.col}`;
    const places = edge.flat
      ? [[edge.row - 1, edge.col], [edge.row, edge.col]]
      : [[edge.row, edge.col - 1], [edge.row, edge.col]];
    edge.boxes = places
      .filter(([row, col]) => row >= 0 && row < rows && col >= 0 && col < cols)
      .map(([row, col]) => row * cols + col);
  });
  const around = (box) => {
    const row = Math.floor(box / cols), col = box % cols;
    const left = horizontal + row * (cols + 1) + col;
    return [box, box + cols, left, left + 1];
  };
  return { rows, cols, edges, around, boxes: rows * cols, size: `${rows}x${cols}` };
}

/** The position after the first `ply` of some moves. `movers` has one more entry than moves. */
export function positionAt(board, moves, ply) {
  const drawn = new Array(board.edges.length).fill(false);
  const owners = new Array(board.boxes).fill(-1);
  const missing = new Array(board.boxes).fill(4);
  const movers = [0], closed = [], scores = [0, 0];
  for (const edge of moves.slice(0, ply)) {
    const mover = movers.at(-1);
    drawn[edge] = true;
    let count = 0;
    for (const box of board.edges[edge].boxes) {
      if (--missing[box] === 0) {
        owners[box] = mover;
        count++;
      }
    }
    scores[mover] += count;
    closed.push(count);
    movers.push(count ? mover : 1 - mover);
  }
  return {
    ply, drawn, owners, movers, closed, scores,
    toPlay: movers.at(-1),
    last: ply ? moves[ply - 1] : null,
    isOver: ply === board.edges.length,
  };
}

/** The edge that an arrow key leads to: along its row of edges, or to the next row. */
export function neighbour(board, from, key) {
  const here = board.edges[from];
  const [dx, dy] = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[key];
  const candidates = board.edges.filter((edge) =>
    dx ? edge.y === here.y && (edge.x - here.x) * dx > 0 : edge.y === here.y + dy);
  if (!candidates.length) return from;
  const nearest = candidates.reduce((best, edge) =>
    Math.abs(edge.x - here.x) < Math.abs(best.x - here.x) ? edge : best);
  return nearest.id;
}

/** The value that names a position: what was thought of it is kept under this name. */
export const keyOf = (moves, ply) => moves.slice(0, ply).join(",");
