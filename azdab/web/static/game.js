// @ts-check
// The game that this page shows: what the host knows, what is looked at, who thinks.

import * as api from "./api.js";
import { keyOf, makeBoard, positionAt } from "./rules.js";

/** @import { Board } from "./rules.js" */
/** @import { Analysis, Seat, Seats, Settings, Shape, Side, State } from "./types.js" */

const STORED = "azdab-game";

/** @param {number} milliseconds */
const pause = (milliseconds) => new Promise((done) => setTimeout(done, milliseconds));

/**
 * What exists once a game has begun.
 * @template T
 * @param {T | null} value
 */
function begun(value) {
  if (value === null) throw new Error("no game has begun");
  return value;
}

export class Game {
  /** @type {Settings | null} */
  #settings = null;
  /** @type {State | null} */
  #state = null;
  /** @type {Board | null} */
  #board = null;
  /** @type {number | null} the ply that is looked at; null follows the game */
  looking = null;
  paused = false;
  shown = { hint: false, chains: true, evaluation: true };

  /** @type {Map<string, Analysis>} */
  #analyses = new Map();
  /** @type {Map<string, Shape | null>} */
  #shapes = new Map();
  /** @type {Set<string>} */
  #failed = new Set();
  /** @type {string | null} */
  #thinkingAbout = null;
  #analysing = false;
  #sending = false;
  #tell;

  /**
   * `change` is called whenever something to be shown has changed, `notice` for errors.
   * @param {{ change: () => void, notice: (error: unknown) => void }} tell
   */
  constructor(tell) {
    this.#tell = tell;
  }

  // ----- what there is to see

  get hasBegun() {
    return this.#state !== null;
  }

  get settings() {
    return begun(this.#settings);
  }

  get state() {
    return begun(this.#state);
  }

  get board() {
    return begun(this.#board);
  }

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

  /** @param {Side} side */
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

  get canPlay() {
    return this.isLive && !this.live.isOver && !this.engineToMove;
  }

  /** @param {number} ply */
  analysisAt(ply) {
    return this.#analyses.get(keyOf(this.state.moves, ply)) ?? null;
  }

  /** @param {number} ply */
  shapeAt(ply) {
    return this.#shapes.get(keyOf(this.state.moves, ply)) ?? null;
  }

  // ----- what people do

  /** Take up the game of this tab, or begin one. */
  async start() {
    const settings = await api.settings();
    this.#settings = settings;
    const known = sessionStorage.getItem(STORED);
    if (known) {
      try {
        return this.#open(await api.show(known));
      } catch (error) {
        if (api.statusOf(error) !== 404) throw error;
      }
    }
    await this.create(settings.board, ["human", settings.level]);
  }

  /** @param {string} board its size @param {Seats} seats */
  async create(board, seats) {
    this.#open(await api.create(board, seats));
  }

  /** @param {{ text: string, number: number, board: string | null }} values */
  async importRecord(values) {
    const state = await api.importRecord(values);
    this.#open(state);
    return state.games;
  }

  /** @param {number} edge */
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

  /** @param {Side} side @param {Seat} who */
  seat(side, who) {
    /** @type {Seats} */
    const seats = side ? [this.seats[0], who] : [who, this.seats[1]];
    this.#change(() => api.seats(this.state.id, seats));
  }

  /** @param {number} ply */
  look(ply) {
    const bounded = Math.max(0, Math.min(ply, this.state.moves.length));
    this.looking = bounded === this.state.ply ? null : bounded;
    this.#changed();
  }

  /** @param {boolean} paused */
  setPaused(paused) {
    this.paused = paused;
    this.#changed();
  }

  /** @param {"hint" | "chains" | "evaluation"} what */
  toggle(what) {
    this.shown[what] = !this.shown[what];
    this.#changed();
  }

  // ----- the host

  #liveKey() {
    return `${this.state.id}:${keyOf(this.state.moves, this.state.ply)}`;
  }

  /** @param {State} state */
  #open(state) {
    sessionStorage.setItem(STORED, state.id);
    this.#board = makeBoard(state.board);
    this.paused = false;
    this.#analyses.clear();
    this.#shapes.clear();
    this.#failed.clear();
    this.#adopt(state);
  }

  /** @param {State} state */
  #adopt(state) {
    this.#state = state;
    this.looking = null;
    this.#changed();
  }

  /**
   * Send a change; clicks that come before the answer are dropped.
   * @param {() => Promise<State>} send
   */
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

  /**
   * Another tab or a late answer can leave this page behind: ask what the game is now.
   * @param {unknown} error
   * @param {string} id
   */
  async #recover(error, id) {
    const status = api.statusOf(error);
    if (status !== 409) this.#tell.notice(error);
    if (status === 404 || status === 0) return;
    try {
      const state = await api.show(id);
      if (this.state.id === id) this.#adopt(state);
    } catch (again) {
      this.#tell.notice(again);
    }
  }

  #changed() {
    this.#tell.change();
    this.#letEngineMove();
    this.#lookAtShape();
    this.#analyse();
  }

  async #letEngineMove() {
    const key = this.#liveKey();
    if (!this.engineToMove || this.paused || this.#thinkingAbout === key) return;
    this.#thinkingAbout = key;
    this.#tell.change();
    const { id, ply } = this.state;
    /** @type {State | null} */
    let state = null;
    /** @type {unknown} */
    let failure = null;
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
    if (api.statusOf(failure) === 409) return this.#recover(failure, id);
    if (state) this.#state = state;
    else {
      this.paused = true;
      this.#tell.notice(failure);
    }
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
      this.#tell.change();
    } catch {
      this.#shapes.delete(key);
    }
  }

  /** What to analyse next: what is looked at, then the rest of the game, the latest first. */
  #nextAnalysis() {
    const { hint, evaluation } = this.shown;
    /** @param {number} ply */
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
      /** @type {Analysis | null} */
      let found = null;
      try {
        found = await api.analysis(id, ply);
      } catch (error) {
        if (api.statusOf(error) === 429) await pause(1000);
        else if (this.state.id === id) this.#failed.add(key);
      }
      if (this.state.id !== id || !found) continue;
      // The moves may have changed on the way: then the answer is about another position.
      if (keyOf(this.state.moves, ply) === key) this.#analyses.set(key, found);
      this.#tell.change();
    }
    this.#analysing = false;
  }
}
