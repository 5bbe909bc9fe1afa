// @ts-check
// Everything the page says, in English and simplified Chinese.

import { keep, kept } from "./dom.js";

const STORED = "azdab-language";

const en = {
  title: "Dots and Boxes",
  skip: "Skip to the board",
  new_game: "New game",
  import: "Import",
  export: "Export",
  help: "Help",
  close: "Close",
  theme: "Colours: {theme}",
  theme_auto: "as the system",
  theme_light: "light",
  theme_dark: "dark",
  language: "中文",
  players: "Players",
  human: "Person",
  you: "You",
  level_easy: "azdab, easy",
  level_medium: "azdab, medium",
  level_hard: "azdab, hard",
  level_max: "azdab, max",
  short_easy: "Easy",
  short_medium: "Medium",
  short_hard: "Hard",
  short_max: "Max",
  plays_side: "Who plays {side}",
  score_of: "{side}: {count} boxes",
  loading: "Setting up the board…",
  your_turn: "Your turn",
  your_turn_again: "Your turn again",
  side_turn: "{side} to move",
  side_turn_again: "{side} moves again",
  thinking: "azdab is thinking…",
  paused: "Paused",
  you_win: "You win {score}",
  you_lose: "azdab wins {score}",
  side_wins: "{side} wins {score}",
  draw: "A draw, {score}",
  looking: "After move {ply} of {count}",
  looking_start: "Before the first move",
  back: "Back to the game",
  from_here: "Play from here",
  undo: "Undo",
  redo: "Redo",
  hint: "Hint",
  chains: "Chains",
  evaluation: "Evaluation",
  pause: "Pause",
  resume: "Go on",
  first_move: "To the start",
  earlier: "One move back",
  later: "One move on",
  last_move: "To the latest move",
  board_label: "Board of {size} boxes. Arrow keys choose an edge, Enter draws it.",
  edge_h: "horizontal edge, row {row}, column {col}",
  edge_v: "vertical edge, row {row}, column {col}",
  edge_drawn: "drawn",
  margin_exact: "{side} wins by {count} with perfect play",
  margin_exact_draw: "a draw with perfect play",
  margin_expected: "{side} ahead by about {count}",
  margin_even: "about even",
  chance: "{side} wins in {share}%",
  unknown: "No estimate on this board until the end is near",
  judging: "Judging the position…",
  final: "The game is over",
  eval_label: "Evaluation: {text}",
  chart_label: "Expected final margin through the game, above zero for A",
  move_is_best: "the best move",
  move_loses: "loses {count}",
  hint_legend: "Green: good moves; the dot marks the best. Grey: not looked at.",
  hint_only_best: "On this board only the best move is known until the end is near.",
  hint_wait: "Looking for good moves…",
  shape: "Long chains: {count} · in control if it stays so: {side}",
  moves: "Moves",
  no_moves: "No moves yet. A begins: draw an edge.",
  start: "Start",
  move_label: "Move {number}, {side}: {name}",
  move_boxes: "closes {count}",
  board: "Board",
  other: "Other",
  rows: "Rows",
  cols: "Columns",
  networks: "A trained network plays on {sizes}; elsewhere azdab searches without one.",
  who: "Who plays",
  me_first: "I move first",
  me_second: "I move second",
  two_people: "Two people",
  watch: "Watch azdab play itself",
  strength: "Strength of azdab",
  strength_note: "Easy takes what it gets; max thinks for some seconds.",
  begin: "Start",
  cancel: "Cancel",
  import_title: "Open a recorded game",
  import_note: "azdab's text, the JSON of the Chinese computer game competition, or OpenSpiel.",
  import_text: "Paste a record",
  import_file: "or choose a file",
  import_board: "Board, if the record does not say",
  import_number: "Which game",
  open: "Open",
  opened: "Opened. Step through the moves, or play on from any of them.",
  opened_of: "Opened game {number} of {count}.",
  too_large: "The file is too large: {limit} characters are read.",
  unreadable: "The file cannot be read.",
  export_title: "Save this game",
  format: "Format",
  format_text: "Text",
  format_ccgc: "Competition JSON",
  format_openspiel: "OpenSpiel",
  record: "Record",
  copy: "Copy",
  copied: "Copied",
  download: "Download",
  lost: "The host does not answer. Is it still running?",
  failed: "Not possible: {message}",
  help_title: "How to play",
  help_1: "Take turns drawing one edge between two neighbouring dots.",
  help_2: "Whoever draws the fourth side of a box owns it and moves again.",
  help_3: "When all edges are drawn, whoever has more boxes wins.",
  help_chains_title: "Chains",
  help_chains: "Ribbons show boxes that fall together. A chain of three or more is long: whoever must open the first long chain usually loses. The line below the board counts them and says who would be in control.",
  help_eval_title: "Hint and evaluation",
  help_eval: "The hint colours edges by how good they are. The bar and the curve show by how many boxes A is expected to win; below zero it is B. “With perfect play” means that it is certain.",
  help_keys_title: "Keyboard",
  key_arrows: "choose an edge",
  key_enter: "draw it",
  key_u: "undo",
  key_r: "redo",
  key_h: "hint",
  key_c: "chains",
  key_e: "evaluation",
  key_p: "pause azdab against itself",
  key_step: "earlier, later moves",
  key_n: "new game",
};

/** @typedef {keyof typeof en} Key  the name of a text */

/** @type {Record<Key, string>} */
const zh = {
  title: "点格棋",
  skip: "跳到棋盘",
  new_game: "新对局",
  import: "导入",
  export: "导出",
  help: "帮助",
  close: "关闭",
  theme: "配色：{theme}",
  theme_auto: "跟随系统",
  theme_light: "浅色",
  theme_dark: "深色",
  language: "English",
  players: "对局者",
  human: "人",
  you: "你",
  level_easy: "azdab（简单）",
  level_medium: "azdab（中等）",
  level_hard: "azdab（困难）",
  level_max: "azdab（最强）",
  short_easy: "简单",
  short_medium: "中等",
  short_hard: "困难",
  short_max: "最强",
  plays_side: "谁执 {side}",
  score_of: "{side}：{count} 格",
  loading: "正在准备棋盘…",
  your_turn: "轮到你了",
  your_turn_again: "你再走一步",
  side_turn: "轮到 {side}",
  side_turn_again: "{side} 再走一步",
  thinking: "azdab 正在思考…",
  paused: "已暂停",
  you_win: "你赢了，{score}",
  you_lose: "azdab 获胜，{score}",
  side_wins: "{side} 获胜，{score}",
  draw: "平局，{score}",
  looking: "第 {ply} 步之后（共 {count} 步）",
  looking_start: "第一步之前",
  back: "回到对局",
  from_here: "从这里继续",
  undo: "悔棋",
  redo: "重走",
  hint: "提示",
  chains: "链",
  evaluation: "形势",
  pause: "暂停",
  resume: "继续",
  first_move: "到开头",
  earlier: "上一步",
  later: "下一步",
  last_move: "到最新一步",
  board_label: "{size} 格的棋盘。用方向键选边，按回车画线。",
  edge_h: "横边，第 {row} 行，第 {col} 列",
  edge_v: "竖边，第 {row} 行，第 {col} 列",
  edge_drawn: "已画",
  margin_exact: "双方最佳应对时 {side} 胜 {count} 格",
  margin_exact_draw: "双方最佳应对时为平局",
  margin_expected: "{side} 约领先 {count} 格",
  margin_even: "大致均势",
  chance: "{side} 胜率 {share}%",
  unknown: "此棋盘在临近终局前没有估计",
  judging: "正在评估局面…",
  final: "对局结束",
  eval_label: "形势：{text}",
  chart_label: "全局的预期最终净胜格数，零线以上为 A 领先",
  move_is_best: "最佳着法",
  move_loses: "损失 {count} 格",
  hint_legend: "绿色为好棋，圆点是最佳着法；灰色未搜索。",
  hint_only_best: "此棋盘在临近终局前只给出最佳着法。",
  hint_wait: "正在寻找好棋…",
  shape: "长链：{count} · 若不变，控制方：{side}",
  moves: "棋谱",
  no_moves: "还没有落子。A 先走：画一条边。",
  start: "开局",
  move_label: "第 {number} 步，{side}：{name}",
  move_boxes: "得 {count} 格",
  board: "棋盘",
  other: "其他",
  rows: "行",
  cols: "列",
  networks: "{sizes} 有训练好的网络；其他大小由 azdab 搜索。",
  who: "对局双方",
  me_first: "我先走",
  me_second: "我后走",
  two_people: "双人对局",
  watch: "观看 azdab 自我对弈",
  strength: "azdab 的棋力",
  strength_note: "“简单”只贪眼前的格子；“最强”每步思考数秒。",
  begin: "开始",
  cancel: "取消",
  import_title: "打开棋谱",
  import_note: "azdab 文本、中国计算机博弈大赛 JSON 或 OpenSpiel。",
  import_text: "粘贴棋谱",
  import_file: "或选择文件",
  import_board: "棋盘（棋谱未注明时）",
  import_number: "第几局",
  open: "打开",
  opened: "已打开。可逐步查看，也可从任意一步继续。",
  opened_of: "已打开第 {number} 局，共 {count} 局。",
  too_large: "文件太大：最多读取 {limit} 个字符。",
  unreadable: "无法读取该文件。",
  export_title: "保存本局",
  format: "格式",
  format_text: "文本",
  format_ccgc: "大赛 JSON",
  format_openspiel: "OpenSpiel",
  record: "棋谱",
  copy: "复制",
  copied: "已复制",
  download: "下载",
  lost: "主机没有应答，它还在运行吗？",
  failed: "无法执行：{message}",
  help_title: "玩法",
  help_1: "双方轮流在相邻两点之间画一条边。",
  help_2: "画上一个格子第四条边的人得到该格，并再走一步。",
  help_3: "所有边画完后，格子多的一方获胜。",
  help_chains_title: "链",
  help_chains: "彩带标出会一起被吃掉的格子。三格及以上为长链：谁被迫先打开长链，通常就输了。棋盘下方显示长链的数目，以及届时由谁控制。",
  help_eval_title: "提示与形势",
  help_eval: "提示按好坏给边着色。形势条和曲线表示 A 预期净胜多少格；零线以下为 B 领先。“双方最佳应对”表示结果已经确定。",
  help_keys_title: "键盘",
  key_arrows: "选择边",
  key_enter: "画线",
  key_u: "悔棋",
  key_r: "重走",
  key_h: "提示",
  key_c: "链",
  key_e: "形势",
  key_p: "暂停（自我对弈时）",
  key_step: "查看前后各步",
  key_n: "新对局",
};

const LANGUAGES = { en, "zh-CN": zh };

const chosen = kept(STORED);
const preferred = navigator.language.startsWith("zh") ? "zh-CN" : "en";
/** @type {keyof typeof LANGUAGES} */
let language = chosen === "en" || chosen === "zh-CN" ? chosen : preferred;

/**
 * A text of the page; `{name}` in it stands for a value.
 * @param {Key} key
 * @param {Record<string, string | number>} [values]
 */
export function t(key, values = {}) {
  /** @type {(all: string, name: string) => string} */
  const fill = (all, name) => String(values[name] ?? all);
  return LANGUAGES[language][key].replace(/\{(\w+)\}/g, fill);
}

/**
 * A board's size, such as 5x5, as people write it.
 * @param {string} size
 */
export const sizeText = (size) => size.replace("x", "×");

export function switchLanguage() {
  language = language === "en" ? "zh-CN" : "en";
  keep(STORED, language);
}

/**
 * A text that the page names; tests see to it that there is one.
 * @param {string | null} key
 */
const named = (key) => t(/** @type {Key} */ (key));

/** Fill in the texts of the page's fixed parts. */
export function translate() {
  document.documentElement.lang = language;
  document.title = `${t("title")} · azdab`;
  for (const node of document.querySelectorAll("[data-t]"))
    node.textContent = named(node.getAttribute("data-t"));
  for (const node of document.querySelectorAll("[data-label]")) {
    const text = named(node.getAttribute("data-label"));
    node.setAttribute("aria-label", text);
    if (node.matches("button")) node.setAttribute("title", text);
  }
  for (const node of document.querySelectorAll("[aria-keyshortcuts]"))
    node.setAttribute("title", `${named(node.id)} (${node.getAttribute("aria-keyshortcuts")})`);
}
