// The dialogs: new game, import, export, help.

import * as api from "./api.js";
import { t } from "./i18n.js";

const $ = (id) => document.getElementById(id);

export function words(error) {
  return error.status ? t("failed", { message: error.message }) : t("lost");
}

/** Open a dialog whose form does `submit(form)`; a refusal is shown in it, and it stays open. */
function prepare(dialog, submit) {
  const form = dialog.querySelector("form"), error = dialog.querySelector(".error");
  dialog.querySelector("[data-close]").addEventListener("click", () => dialog.close());
  // A click beside the dialog is a click on its backdrop.
  dialog.addEventListener("pointerdown", (event) => {
    if (event.target === dialog) dialog.close();
  });
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    if (!submit) return dialog.close();
    const buttons = form.querySelectorAll("button");
    for (const button of buttons) button.disabled = true;
    error.textContent = "";
    try {
      await submit(form);
      dialog.close();
    } catch (refused) {
      error.textContent = refused.status === undefined ? refused.message : words(refused);
    } finally {
      for (const button of buttons) button.disabled = false;
    }
  });
}

function open(dialog) {
  const error = dialog.querySelector(".error");
  if (error) error.textContent = "";
  dialog.showModal();
}

export function prepareNew(game) {
  const dialog = $("new-dialog"), form = dialog.querySelector("form");
  const arrange = () => {
    form.querySelector(".sizes").hidden = form.size.value !== "other";
    for (const input of form.querySelectorAll(".sizes input")) input.disabled = form.size.value !== "other";
    $("strength").hidden = form.who.value === "people";
  };
  form.addEventListener("change", arrange);
  prepare(dialog, () => {
    const size = form.size.value === "other" ? `${form.rows.value}x${form.cols.value}` : form.size.value;
    const level = form.level.value;
    const seats = {
      first: ["human", level], second: [level, "human"], people: ["human", "human"], watch: [level, level],
    }[form.who.value];
    return game.create(size, seats);
  });
  return () => {
    const { levels, level, networks } = game.settings;
    const chosen = form.level?.value || level;
    $("levels").replaceChildren(...levels.map((name) => {
      const label = document.createElement("label"), span = document.createElement("span");
      const input = Object.assign(document.createElement("input"), { type: "radio", name: "level", value: name });
      input.checked = name === chosen;
      span.textContent = t(`short_${name}`);
      label.append(input, span);
      return label;
    }));
    const sizes = networks.map((size) => size.replace("x", "×")).join(", ");
    $("networks").textContent = t("networks", { sizes });
    const { rows, cols } = game.board;
    const preset = [...form.size].some(({ value }) => value === game.board.size);
    form.size.value = preset ? game.board.size : "other";
    if (!preset) [form.rows.value, form.cols.value] = [rows, cols];
    arrange();
    open(dialog);
  };
}

export function prepareImport(game, tell) {
  const dialog = $("import-dialog"), form = dialog.querySelector("form");
  const error = dialog.querySelector(".error");
  form.file.addEventListener("change", async () => {
    const [file] = form.file.files;
    if (!file) return;
    error.textContent = "";
    if (file.size > 4 * game.settings.max_import) {
      error.textContent = t("too_large", { limit: game.settings.max_import });
      return;
    }
    try {
      form.text.value = await file.text();
    } catch {
      error.textContent = t("unreadable");
    }
  });
  prepare(dialog, async () => {
    const text = form.text.value, limit = game.settings.max_import;
    if (text.length > limit) throw new Error(t("too_large", { limit }));
    const number = Number(form.number.value);
    const count = await game.importRecord({ text, number, board: form.board.value.trim() || null });
    tell(count > 1 ? t("opened_of", { number, count }) : t("opened"));
  });
  return () => {
    form.reset();
    open(dialog);
  };
}

export function prepareExport(game) {
  const dialog = $("export-dialog"), form = dialog.querySelector("form");
  const text = form.querySelector("textarea"), error = dialog.querySelector(".error");
  const show = async () => {
    const format = form.format.value, { id } = game.state;
    $("download").href = api.recordAddress(id, format);
    $("copy").textContent = t("copy");
    error.textContent = "";
    try {
      text.value = await api.record(id, format);
    } catch (refused) {
      text.value = "";
      error.textContent = words(refused);
    }
  };
  form.addEventListener("change", show);
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
  prepare(dialog, null);
  return () => {
    const ccgc = form.querySelector("[value=ccgc]");
    ccgc.disabled = game.board.size !== "5x5";
    if (ccgc.disabled && ccgc.checked) form.format.value = "text";
    open(dialog);
    show();
  };
}

export function prepareHelp() {
  const dialog = $("help-dialog");
  prepare(dialog, null);
  return () => open(dialog);
}
