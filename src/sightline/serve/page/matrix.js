// A matrix of weights as a grid that is walked with the arrow keys and takes the width there is.

import { make, shade } from "./dom.js";
import { largest, number } from "./legend.js";
import { t } from "./strings.js";

const WIDEST = 6; // rem, of a cell; few of them would be no matrix any more
const LETTER = 9; // px, about what a letter of a heading takes

// `shown` has rows, columns and values; perhaps `masked` (0 where nothing may be looked at, 0.5 where a part of a word
// may), and `signed`. `most` is the value drawn darkest.
export function grid(shown, { most = largest(shown.values), colour = "--blue", tell, onRow, room = 0 } = {}) {
  const marks = { 0: "masked", 0.5: "partly" };
  const cells = shown.values.map((row, r) =>
    row.map((value, c) => {
      const mark = marks[shown.masked?.[r]?.[c]];
      const about = { masked: t("legend.masked"), partly: t("legend.partly") }[mark];
      const told = `${shown.rows[r]} ← ${shown.columns[c]}: ${value === null ? t("not.taken") : number(value)}${about ? ` (${about})` : ""}`;
      const td = make("td", { role: "gridcell", tabindex: r || c ? -1 : 0, "aria-label": told, class: mark });
      if (mark !== "masked") td.style.backgroundColor = shade(Math.abs(value) / most, value < 0 ? "--red" : colour);
      const show = () => { tell?.(told); onRow?.(r); };
      td.addEventListener("mouseenter", show);
      td.addEventListener("focus", show);
      td.addEventListener("keydown", (event) => move(event, r, c));
      return td;
    }));
  function move(event, r, c) {
    const steps = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] }[event.key];
    const next = steps && cells[r + steps[0]]?.[c + steps[1]];
    if (!next) return;
    event.preventDefault();
    cells[r][c].tabIndex = -1;
    next.tabIndex = 0;
    next.focus();
  }
  const longest = (names) => Math.max(1, ...names.map((one) => [...one].length));
  const across = (room - LETTER * longest(shown.rows)) / shown.columns.length;
  const upright = across < LETTER * longest(shown.columns) + 8;
  const heads = shown.columns.map((text) => make("th", { role: "columnheader", text }));
  const head = make("tr", { role: "row" }, make("th", { role: "columnheader" }, make("span", { class: "unseen", text: t("looks.at") })), ...heads);
  const rowHeads = shown.rows.map((text) => make("th", { role: "rowheader", text }));
  const body = cells.map((row, r) => make("tr", { role: "row" }, rowHeads[r], ...row));
  const table = make("table", { class: upright ? "grid upright" : "grid", role: "grid", "aria-label": shown.title },
    make("thead", { role: "rowgroup" }, head), make("tbody", { role: "rowgroup" }, ...body));
  table.style.maxWidth = `${WIDEST * shown.columns.length + 0.6 * longest(shown.rows) + 2}rem`;
  const highlight = (row) => {
    rowHeads.forEach((one, r) => one.classList.toggle("on", r === row));
    heads.forEach((one, c) => { one.style.background = shade(0.45 * ((shown.values[row]?.[c] ?? 0) / most), colour); });
  };
  return { root: table, highlight };
}
