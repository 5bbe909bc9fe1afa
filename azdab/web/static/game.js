// The game that this page shows: what the host knows, what is looked at, who thinks.

import * as api from "./api.js";
import { keyOf, makeBoard, positionAt } from "./rules.js";

const STORED = "azdab-game";
const pause = (milliseconds) => new Promise((done) => setTimeout(done, milliseconds));

/** Tells its listeners "change" whenever something to be shown has changed, "notice" for errors. */
export class Game extends EventTarget {
  settings = null;
  state = null;
  board = null;
  /** The ply that is looked at; null follows the game. */
  looking = null;
  paused = false;
  shown = { hint: false, chains: true, evaluation: true };

  #analyses = new Map();
  #shapes = new Map();
  #failed = new Set();
  #thinkingAbout = null;
  #analysing = false;
  #sending = false;

  // ----- what there is to see

  get ply() {
    return this.looking ?? this.state.ply;
  }

  get isLive() {
    return this.ply === this.state.ply;
  }

  get position() {
    return positionAt(this.board, this.state.moves, this.ply);
  }

  get live() {
    return positionAt(this.board, this.state.moves, this.state.ply);
  }

  get seats() {
    return this.state.seats;
  }

  isEngine(side) {
    return this.seats[side] !== "human";
  }

  /** Whether an engine plays both sides, or one: decides about pausing and about "you". */
  get engines() {
    return this.seats.filter((seat) => seat !== "human").length;
  }

  get engineToMove() {
    const live = this.live;
    return !live.isOver && this.isEngine(live.toPlay);
  }

  get thinking() {
    return this.#thinkingAbout !== null && this.#thinkingAbout === this.#liveKey();
  }

  get canPlay() {
    return this.isLive && !this.live.isOver && !this.engineToMove;
  }

  analysisAt(ply) {
    return this.#analyses.get(keyOf(this.state.moves, ply)) ?? null;
  }

  shapeAt(ply) {
    return this.#shapes.get(keyOf(this.state.moves, ply)) ?? null;
  }

  // ----- what people do

  /** Take up the game of this tab, or begin one. */
  async start() {
    this.settings = await api.settings();
    const known = sessionStorage.getItem(STORED);
    if (known) {
      try {
        return this.#open(await api.show(known));
      } catch (error) {
        if (error.status !== 404) throw error;
      }
    }
    await this.create(this.settings.board, ["human", this.settings.level]);
  }

  async create(board, seats) {
    this.#open(await api.create(board, seats));
  }

  async importRecord(values) {
    const state = await api.importRecord(values);
    this.#open(state);
    return state.games;
  }

  play(edge) {
    if (!this.canPlay || this.live.drawn[edge]) return;
    this.#change(() => api.move(this.state.id, this.state.ply, edge));
  }

  undo() {
    if (this.state.ply) this.#change(() => api.undo(this.state.id, this.state.ply));
  }

  redo() {
    if (this.state.ply < this.state.moves.length)
      this.#change(() => api.redo(this.state.id, this.state.ply));
  }

  /** Go on from the position that is looked at. */
  playFromHere() {
    const to = this.looking;
    if (to !== null && to < this.state.ply)
      this.#change(() => api.undo(this.state.id, this.state.ply, to));
  }

  seat(side, who) {
    const seats = this.seats.with(side, who);
    this.#change(() => api.seats(this.state.id, seats));
  }

  look(ply) {
    const bounded = Math.max(0, Math.min(ply, this.state.moves.length));
    this.looking = bounded === this.state.ply ? null : bounded;
    this.#changed();
  }

  setPaused(paused) {
    this.paused = paused;
    this.#changed();
  }

  toggle(what) {
    this.shown[what] = !this.shown[what];
    this.#changed();
  }

  // ----- the host

  #liveKey() {
    return this.state && `${this.state.id}:${keyOf(this.state.moves, this.state.ply)}`;
  }

  #open(state) {
    sessionStorage.setItem(STORED, state.id);
    this.board = makeBoard(state.board.rows, state.board.cols);
    this.paused = false;
    this.#analyses.clear();
    this.#shapes.clear();
    this.#failed.clear();
    this.#adopt(state);
  }

  #adopt(state) {
    this.state = state;
    this.looking = null;
    this.#changed();
  }

  /** Send a change; clicks that come before the answer are dropped. */
  async #change(send) {
    if (this.#sending) return;
    this.#sending = true;
    const { id } = this.state;
    try {
      const state = await send();
      if (this.state.id === id) this.#adopt(state);
    } catch (error) {
      await this.#recover(error, id);
    } finally {
      this.#sending = false;
    }
  }

  /** Another tab or a late answer can leave this page behind: ask what the game is now. */
  async #recover(error, id) {
    if (error.status !== 409) this.#notice(error);
    if (error.status === 404 || error.status === 0) return;
    try {
      const state = await api.show(id);
      if (this.state.id === id) this.#adopt(state);
    } catch (again) {
      this.#notice(again);
    }
  }

  #notice(error) {
    this.dispatchEvent(new CustomEvent("notice", { detail: error }));
  }

  #changed() {
    this.dispatchEvent(new Event("change"));
    this.#letEngineMove();
    this.#lookAtShape();
    this.#analyse();
  }

  async #letEngineMove() {
    const key = this.#liveKey();
    if (!this.engineToMove || this.paused || this.#thinkingAbout === key) return;
    this.#thinkingAbout = key;
    this.dispatchEvent(new Event("change"));
    const { id, ply } = this.state;
    let state = null, failure = null;
    try {
      // A short wait, so that eyes can follow.
      [state] = await Promise.all([api.engine(id, ply), pause(this.engines === 2 ? 500 : 250)]);
    } catch (error) {
      failure = error;
    }
    // After undo, a new game or a change of seats nobody waits for this answer any more.
    if (this.#thinkingAbout !== key) return;
    this.#thinkingAbout = null;
    if (this.#liveKey() !== key) return this.#changed();
    if (failure?.status === 409) return this.#recover(failure, id);
    if (failure) {
      this.paused = true;
      this.#notice(failure);
      return this.#changed();
    }
    const looking = this.looking;
    this.state = state;
    this.looking = looking;
    this.#changed();
  }

  async #lookAtShape() {
    const { ply, state } = this;
    const key = keyOf(state.moves, ply);
    if (this.#shapes.has(key)) return;
    this.#shapes.set(key, null);
    try {
      const shape = await api.shape(state.id, ply);
      if (this.state.id !== state.id) return;
      this.#shapes.set(key, shape);
      this.dispatchEvent(new Event("change"));
    } catch {
      this.#shapes.delete(key);
    }
  }

  /** What to analyse next: what is looked at, then the rest of the game, the latest first. */
  #nextAnalysis() {
    const { hint, evaluation } = this.shown;
    const missing = (ply) => {
      const key = keyOf(this.state.moves, ply);
      return !this.#analyses.has(key) && !this.#failed.has(key);
    };
    if ((hint || evaluation) && missing(this.ply)) return this.ply;
    if (!evaluation) return null;
    for (let ply = this.state.ply; ply >= 0; ply--) if (missing(ply)) return ply;
    return null;
  }

  async #analyse() {
    if (this.#analysing) return;
    this.#analysing = true;
    for (let ply = this.#nextAnalysis(); ply !== null; ply = this.#nextAnalysis()) {
      const { id, moves } = this.state;
      const key = keyOf(moves, ply);
      let found = null;
      try {
        found = await api.analysis(id, ply);
      } catch (error) {
        if (error.status === 429) await pause(1000);
        else if (this.state.id === id) this.#failed.add(key);
      }
      if (this.state.id !== id || !found) continue;
      // The moves may have changed on the way: then the answer is about another position.
      if (keyOf(this.state.moves, ply) === key) this.#analyses.set(key, found);
      this.dispatchEvent(new Event("change"));
    }
    this.#analysing = false;
  }
}
