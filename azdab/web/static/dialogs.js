// @ts-check
// The dialogs: new game, import, export, help.

import * as api from "./api.js";
import { $, around, field, find, htmlElement } from "./dom.js";
import { sizeText, t } from "./i18n.js";
import { keptLines } from "./lines.js";
import { makeBoard, positionAt } from "./rules.js";

/** @import { Game } from "./game.js" */
/** @import { Line } from "./lines.js" */
/** @import { Level, Seats } from "./types.js" */

/**
 * What the page says of a failure, of the host or its own.
 * @param {unknown} error
 */
export function words(error) {
  if (api.statusOf(error) === 0) return t("lost");
  return t("failed", { message: error instanceof Error ? error.message : String(error) });
}

/** @param {string} id */
function dialogOf(id) {
  const dialog = $(id, HTMLDialogElement);
  const form = find(dialog, "form", HTMLFormElement);
  return { dialog, form, error: dialog.querySelector(".error") };
}

/**
 * Say what is wrong in a dialog that has a place for it.
 * @param {Element | null} error
 * @param {string} text
 */
function say(error, text) {
  if (error) error.textContent = text;
}

/**
 * Prepare a dialog whose form does `submit`; a refusal is shown in it, and it stays open.
 * @param {ReturnType<typeof dialogOf>} parts
 * @param {(() => Promise<void>) | null} submit
 */
function prepare({ dialog, form, error }, submit) {
  find(dialog, "[data-close]").addEventListener("click", () => dialog.close());
  // A click beside the dialog is a click on its backdrop.
  dialog.addEventListener("pointerdown", (event) => {
    if (event.target === dialog) dialog.close();
  });
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    if (!submit) {
      dialog.close();
      return;
    }
    const buttons = form.querySelectorAll("button");
    for (const button of buttons) button.disabled = true;
    say(error, "");
    try {
      await submit();
      dialog.close();
    } catch (refused) {
      const isOurs = refused instanceof Error && !(refused instanceof api.ApiError);
      say(error, isOurs ? refused.message : words(refused));
    } finally {
      for (const button of buttons) button.disabled = false;
    }
  });
}

/** @param {ReturnType<typeof dialogOf>} parts */
function open({ dialog, error }) {
  say(error, "");
  dialog.showModal();
}

/**
 * A radio button that looks like a chip.
 * @param {string} name
 * @param {string} value
 * @param {string} textContent
 * @param {boolean} checked
 */
function radioChip(name, value, textContent, checked) {
  const input = htmlElement("input", { type: "radio", name, value, checked });
  return htmlElement("label", {}, input, htmlElement("span", { textContent }));
}

/** @param {Game} game */
export function prepareNew(game) {
  const parts = dialogOf("new-dialog"), { form } = parts;
  const size = field(form, "size"), who = field(form, "who");
  const rows = field(form, "rows"), cols = field(form, "cols");
  const arrange = () => {
    const sizes = find(form, ".sizes"), isPreset = size.value !== "other";
    sizes.hidden = isPreset;
    for (const input of sizes.querySelectorAll("input")) input.disabled = isPreset;
    $("strength").hidden = who.value === "people";
  };
  form.addEventListener("change", arrange);
  prepare(parts, () => {
    const boxes = size.value === "other" ? `${rows.value}x${cols.value}` : size.value;
    const board = `${boxes}:${field(form, "variant").value}`;
    const level = /** @type {Level} */ (field(form, "level").value);
    /** @type {Record<string, Seats>} */
    const seats = {
      first: ["human", level],
      second: [level, "human"],
      people: ["human", "human"],
      watch: [level, level],
    };
    return game.create(board, seats[who.value]);
  });
  return () => {
    const { levels, level, networks, variants } = game.settings;
    const chosen = new FormData(form).get("level") ?? level;
    $("levels").replaceChildren(...levels.map((value) =>
      radioChip("level", value, t(`short_${value}`), value === chosen)));
    $("variants").replaceChildren(...variants.map((value) =>
      radioChip("variant", value, t(`lines_${value}`), value === game.board.variant)));
    const sizes = networks.map(sizeText).join(", ");
    $("networks").textContent = t("networks", { sizes });
    const { board } = game;
    const preset = form.querySelector(`[name=size][value="${board.size}"]`);
    size.value = preset ? board.size : "other";
    if (!preset) [rows.value, cols.value] = [String(board.rows), String(board.cols)];
    arrange();
    open(parts);
  };
}

/**
 * The text of a file, in the encodings that the command line reads too.
 * @param {ArrayBuffer} bytes
 */
function decoded(bytes) {
  const [first, second] = new Uint8Array(bytes);
  const little = first === 0xff && second === 0xfe, big = first === 0xfe && second === 0xff;
  const encodings = little ? ["utf-16le"] : big ? ["utf-16be"] : ["utf-8", "gb18030"];
  for (const encoding of encodings) {
    try {
      return new TextDecoder(encoding, { fatal: true }).decode(bytes);
    } catch {
      // The next one may fit.
    }
  }
  throw new TypeError("not a text");
}

/**
 * @param {Game} game
 * @param {(text: string, isError?: boolean) => void} tell
 */
export function prepareImport(game, tell) {
  const parts = dialogOf("import-dialog"), { form, error } = parts;
  const pasted = field(form, "text"), chosen = find(form, "[name=file]", HTMLInputElement);
  chosen.addEventListener("change", async () => {
    const file = chosen.files?.[0];
    if (!file) return;
    say(error, "");
    if (file.size > 4 * game.settings.max_import) {
      say(error, t("too_large", { limit: game.settings.max_import }));
      return;
    }
    try {
      pasted.value = decoded(await file.arrayBuffer());
    } catch {
      say(error, t("unreadable"));
    }
  });
  prepare(parts, async () => {
    const text = pasted.value, limit = game.settings.max_import;
    if (text.length > limit) throw new Error(t("too_large", { limit }));
    const number = Number(field(form, "number").value);
    const board = field(form, "board").value.trim() || null;
    const { games: count, note } = await game.importRecord({ text, number, board });
    const opened = count > 1 ? t("opened_of", { number, count }) : t("opened");
    tell(note ? `${opened} ${t("left_out", { note })}` : opened, Boolean(note));
  });
  return () => {
    form.reset();
    open(parts);
  };
}

/** @param {Game} game */
export function prepareExport(game) {
  const parts = dialogOf("export-dialog"), { form, error } = parts;
  const text = find(form, "textarea", HTMLTextAreaElement), format = field(form, "format");
  const download = $("download", HTMLAnchorElement);
  const fill = async () => {
    const chosen = format.value;
    $("copy").textContent = t("copy");
    say(error, "");
    let found = "";
    try {
      found = await game.record(chosen);
    } catch (refused) {
      say(error, words(refused));
    }
    if (format.value !== chosen) return; // Another one is on its way.
    text.value = found;
    URL.revokeObjectURL(download.href);
    download.toggleAttribute("inert", !found);
    download.href = URL.createObjectURL(new Blob([found], { type: "text/plain" }));
    const { size, variant } = game.board;
    const name = variant === "plain" ? size : `${size}-${variant}`;
    download.download = `dots-and-boxes-${name}.${chosen === "ccgc" ? "json" : "txt"}`;
  };
  form.addEventListener("change", fill);
  $("copy").addEventListener("click", async () => {
    try {
      await navigator.clipboard.writeText(text.value);
    } catch {
      // Only pages from this machine or over https may use the clipboard; selected text can
      // be copied by hand everywhere.
      text.select();
      return;
    }
    $("copy").textContent = t("copied");
  });
  prepare(parts, null);
  return () => {
    const { size, start } = game.board;
    find(form, "[value=ccgc]", HTMLInputElement).disabled = size !== "5x5" || start.length > 0;
    find(form, "[value=openspiel]", HTMLInputElement).disabled = start.length > 0;
    if (find(form, "[name=format]:checked", HTMLInputElement).disabled) format.value = "text";
    open(parts);
    fill();
  };
}

/**
 * What a kept game is told apart by.
 * @param {Line} line
 */
function lineText({ board: shape, moves, names: [first, second], at }) {
  const board = makeBoard(shape);
  const { scores } = positionAt(board, moves, moves.length);
  const when = new Date(at).toLocaleString(document.documentElement.lang,
    { dateStyle: "short", timeStyle: "short" });
  const parts = [sizeText(board.size),
    t("line_moves", { count: moves.length, plies: board.plies }), scores.join("–"), when];
  if (first || second) parts.push(`${first || "A"} – ${second || "B"}`);
  return parts.join(" · ");
}

/** @param {Game} game */
export function prepareGames(game) {
  const parts = dialogOf("games-dialog"), { dialog, error } = parts;
  prepare(parts, null);
  $("lines").addEventListener("click", async (event) => {
    const key = around(event, "button")?.dataset.key;
    if (key === undefined) return;
    try {
      await game.openLine(key);
      dialog.close();
    } catch (refused) {
      say(error, words(refused));
    }
  });
  return () => {
    const others = keptLines().filter(([key, { moves }]) => key !== game.key && moves.length);
    $("games-note").textContent = t(!game.isKept ? "games_forbidden" : others.length
      ? "games_note" : "games_none");
    $("lines").replaceChildren(...others.map(([key, line]) => {
      const button = htmlElement("button", { type: "button", textContent: lineText(line) });
      button.dataset.key = key;
      return htmlElement("li", {}, button);
    }));
    open(parts);
  };
}

export function prepareHelp() {
  const parts = dialogOf("help-dialog");
  prepare(parts, null);
  return () => open(parts);
}
