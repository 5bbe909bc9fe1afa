// @ts-check
// The game that this page shows: what the host knows, what is looked at, who thinks.

import * as api from "./api.js";
import { forgetLine, keepKeyHere, keepLine, keptLine, keyHere, newKey } from "./lines.js";
import { aboutFirst, recordText } from "./record.js";
import { keyOf, makeBoard, positionAt, SIDES } from "./rules.js";

/** @import { Line } from "./lines.js" */
/** @import { Board } from "./rules.js" */
/**
 * @import { About, Analysis, Opened, Seat, Seats, Settings, Shape, Side, State } from "./types.js"
 */

/** So many moves are taken back and played otherwise without a word. */
const FEW = 2;

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

/**
 * A line as the host imports it.
 * @param {Omit<Line, "at">} line
 */
const recordOf = ({ board, moves, names, about, seats, ply }) =>
  ({ text: recordText(makeBoard(board), moves, names, about), seats, ply });

export class Game {
  /** @type {Settings | null} */
  #settings = null;
  /** @type {State | null} */
  #state = null;
  /** @type {Board | null} */
  #board = null;
  /** @type {About | null} */
  #about = null;
  /** names this line of moves, in the browser's storage too */
  key = "";
  /** whether a reload finds the game again */
  isKept = true;
  /** @type {Promise<void> | null} */
  #returning = null;
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
   * `change` is called whenever something to be shown has changed, `notice` for errors, and
   * `branch` when moves were replaced, which are kept.
   * @param {{ change: () => void, notice: (error: unknown) => void, branch: () => void }} tell
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

  get canUndo() {
    return this.ply > 0 && this.ply <= this.state.ply;
  }

  get canRedo() {
    return this.isLive && this.state.ply < this.state.moves.length;
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
    const key = keyHere();
    if (!key || !(await this.openLine(key)))
      await this.create(settings.board, ["human", settings.level]);
  }

  /**
   * Go on with a line that the browser keeps, as the host knows it or from its moves.
   * @param {string} key
   * @returns {Promise<boolean>} whether there is one
   */
  async openLine(key) {
    const line = keptLine(key);
    if (!line) return false;
    /** @type {Opened} */
    let found;
    try {
      if (line.id === null) throw new api.ApiError(404, "");
      found = await api.show(line.id);
    } catch (error) {
      if (api.statusOf(error) !== 404) throw error;
      found = await api.importRecord(recordOf(line));
    }
    this.#open(found, key);
    return true;
  }

  /** @param {string} board its size @param {Seats} seats */
  async create(board, seats) {
    this.#open(await api.create(board, seats));
  }

  /** @param {{ text: string, number: number, board: string | null }} values */
  async importRecord(values) {
    const { games, note, ...opened } = await api.importRecord(values);
    this.#open(opened);
    return { games, note };
  }

  /** @param {number} edge */
  play(edge) {
    const { ply } = this.state;
    if (!this.canPlay || this.live.drawn[edge]) return;
    this.#change((id) => api.move(id, ply, edge));
  }

  /** Take back, from the position that is looked at. */
  undo() {
    const { ply } = this.state, seen = this.looking ?? undefined;
    if (this.canUndo) this.#change((id) => api.undo(id, ply, { seen }));
  }

  redo() {
    const { ply } = this.state;
    if (this.canRedo) this.#change((id) => api.redo(id, ply));
  }

  /** Go on from the position that is looked at. */
  playFromHere() {
    const to = this.looking, { ply } = this.state;
    if (to === null) return;
    this.#change((id) => (to < ply ? api.undo(id, ply, { to }) : api.redo(id, ply, to)));
  }

  /** @param {Side} side @param {Seat} who */
  seat(side, who) {
    /** @type {Seats} */
    const seats = side ? [this.seats[0], who] : [who, this.seats[1]];
    this.#change((id) => api.seats(id, seats));
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
    return `${this.key}:${keyOf(this.state.moves, this.state.ply)}`;
  }

  /**
   * Show a game, under a name of its own if it has none yet.
   * @param {Opened} opened
   */
  #open(opened, key = newKey()) {
    if (this.#state && !this.#state.moves.length) forgetLine(this.key);
    const { about, ...state } = opened;
    this.key = key;
    this.#about = about;
    this.#board = makeBoard(state.board);
    this.paused = false;
    this.#analyses.clear();
    this.#shapes.clear();
    this.#failed.clear();
    this.#state = null;
    this.#adopt(state);
  }

  /** @param {State} state */
  #adopt(state) {
    this.looking = null;
    this.#failed.clear();
    this.#note(state);
    this.#changed();
  }

  /**
   * Note what the game is now. Moves that others replace become a line of their own.
   * @param {State} state
   */
  #note(state) {
    const old = this.#state;
    if (old) {
      const { length } = old.moves;
      const other = old.moves.findIndex((edge, ply) => state.moves[ply] !== edge);
      const same = other < 0 ? length : other;
      if (same < length) {
        keepLine(newKey(), { ...this.#line, id: null });
        if (length - same > FEW) this.#tell.branch();
      }
      if (same < Math.max(length, state.moves.length))
        this.#about = aboutFirst(begun(this.#about), same, false);
    }
    this.#state = state;
    keepLine(this.key, this.#line);
    this.isKept = keepKeyHere(this.key);
  }

  /** What this game can be brought back from. */
  get #line() {
    const { id, board, seats, names, moves, ply } = this.state;
    return { id, board, seats, names, moves, ply, about: begun(this.#about) };
  }

  /**
   * Ask the host about this game. One that it does not know any more, as after a new start, is
   * brought back from what the page has.
   * @template T
   * @param {(id: string) => Promise<T>} send
   */
  async #ask(send) {
    const { key } = this, { id } = this.state;
    try {
      return await send(id);
    } catch (error) {
      if (api.statusOf(error) !== 404) throw error;
      if (this.state.id === id) await this.#bringBack();
      if (this.key !== key) throw error;
      return send(this.state.id);
    }
  }

  #bringBack() {
    const bring = async () => {
      const { key } = this;
      const { id } = await api.importRecord(recordOf(this.#line));
      if (this.key === key) this.#note({ ...this.state, id });
    };
    this.#returning ??= bring().finally(() => {
      this.#returning = null;
    });
    return this.#returning;
  }

  /**
   * Send a change; clicks that come before the answer are dropped.
   * @param {(id: string) => Promise<State>} send
   */
  async #change(send) {
    if (this.#sending) return;
    this.#sending = true;
    const { key } = this;
    try {
      const state = await this.#ask(send);
      if (this.key === key) this.#adopt(state);
    } catch (error) {
      await this.#recover(error, key);
    } finally {
      this.#sending = false;
    }
  }

  /**
   * Another tab or a late answer can leave this page behind: ask what the game is now.
   * @param {unknown} error
   * @param {string} key of the game that it happened in
   */
  async #recover(error, key) {
    if (this.key !== key) return;
    const status = api.statusOf(error);
    if (status !== 409) this.#tell.notice(error);
    if (status === 404 || status === 0) return;
    try {
      const { about, ...state } = await this.#ask(api.show);
      if (this.key !== key) return;
      this.#adopt(state);
      this.#about = about;
    } catch (again) {
      this.#tell.notice(again);
    }
  }

  /**
   * The game up to the position on the board as text, by the host if it answers.
   * @param {string} format
   */
  async record(format) {
    try {
      return await this.#ask((id) => api.record(id, format));
    } catch (error) {
      if (format !== "text" || api.statusOf(error)) throw error;
    }
    const { moves, ply, names, seats } = this.state;
    const about = aboutFirst(begun(this.#about), ply, ply === moves.length);
    for (let after = 1; after <= ply; after++) {
      const margin = this.analysisAt(after)?.margin ?? null;
      if (margin !== null) about.evaluations[after - 1] ??= margin;
    }
    const [first, second] = SIDES.map((side) =>
      names[side] || (seats[side] === "human" ? "" : `azdab, ${seats[side]}`));
    about.date ||= new Date().toLocaleDateString("sv"); // as 2026-11-23
    return recordText(this.board, moves.slice(0, ply), [first, second], about);
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
    const { ply } = this.state, line = this.key;
    /** @type {State | null} */
    let state = null;
    /** @type {unknown} */
    let failure = null;
    try {
      // A short wait, so that eyes can follow.
      [state] = await Promise.all([
        this.#ask((id) => api.engine(id, ply)), pause(this.engines === 2 ? 500 : 250),
      ]);
    } catch (error) {
      failure = error;
      if (api.statusOf(error) === 429) await pause(1000);
    }
    // After undo, a new game or a change of seats nobody waits for this answer any more.
    if (this.#thinkingAbout !== key) return;
    this.#thinkingAbout = null;
    if (this.#liveKey() !== key) return this.#changed();
    if (api.statusOf(failure) === 409) return this.#recover(failure, line);
    if (state) this.#note(state);
    else if (api.statusOf(failure) !== 429) {
      this.paused = true;
      this.#tell.notice(failure);
    }
    this.#changed();
  }

  async #lookAtShape() {
    const { ply, state, key: line } = this;
    const key = keyOf(state.moves, ply);
    if (this.#shapes.has(key)) return;
    this.#shapes.set(key, null);
    try {
      const shape = await this.#ask((id) => api.shape(id, ply));
      if (this.key !== line) return;
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
      const { key: line } = this, { moves } = this.state;
      const at = ply, key = keyOf(moves, ply);
      /** @type {Analysis | null} */
      let found = null;
      try {
        found = await this.#ask((id) => api.analysis(id, at));
      } catch (error) {
        if (api.statusOf(error) === 429) await pause(1000);
        else if (this.key === line) this.#failed.add(key);
      }
      if (this.key !== line || !found) continue;
      // The moves may have changed on the way: then the answer is about another position.
      if (keyOf(this.state.moves, ply) === key) this.#analyses.set(key, found);
      this.#tell.change();
    }
    this.#analysing = false;
  }
}
