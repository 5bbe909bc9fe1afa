// Talks to the host. Every failure is an ApiError with one sentence.

export class ApiError extends Error {
  /** `status` is HTTP's; 0 if the host did not answer. */
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

async function request(method, path, body) {
  let response;
  try {
    response = await fetch(path, {
      method,
      headers: body ? { "Content-Type": "application/json" } : {},
      body: body && JSON.stringify(body),
    });
  } catch {
    throw new ApiError(0, "");
  }
  const text = await response.text();
  if (response.ok) return response.headers.get("content-type")?.includes("json") ? JSON.parse(text) : text;
  let message = response.statusText;
  try {
    message = JSON.parse(text).error ?? message;
  } catch {
    // Not from the host itself; the status has to do.
  }
  throw new ApiError(response.status, message);
}

const game = (id, rest = "") => `/api/games/${encodeURIComponent(id)}${rest}`;

export const settings = () => request("GET", "/api/settings");
export const create = (board, seats) => request("POST", "/api/games", { board, seats });
export const importRecord = (values) => request("POST", "/api/games/import", values);
export const show = (id) => request("GET", game(id));
export const move = (id, ply, edge) => request("POST", game(id, "/move"), { ply, edge });
export const engine = (id, ply) => request("POST", game(id, "/engine"), { ply });
export const undo = (id, ply, to) => request("POST", game(id, "/undo"), { ply, to });
export const redo = (id, ply) => request("POST", game(id, "/redo"), { ply });
export const seats = (id, chosen) => request("POST", game(id, "/seats"), { seats: chosen });
export const analysis = (id, ply) => request("GET", game(id, `/analysis?ply=${ply}`));
export const shape = (id, ply) => request("GET", game(id, `/shape?ply=${ply}`));
export const recordAddress = (id, format) => game(id, `/record?format=${format}`);
export const record = (id, format) => request("GET", recordAddress(id, format));
