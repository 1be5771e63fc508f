// Drawings of numbers: curves over tokens, and many small cells. Colours are those of the page, in any theme.

import { arrow, draw, make, scroller } from "./dom.js";
import { number } from "./legend.js";
import { t } from "./strings.js";

const LEVELS = 12; // shades of a cell
const [LEFT, RIGHT, TOP, BASE] = [52, 16, 10, 170]; // px, around the curves; where the axis of tokens lies
const STEP = 30; // px, the least between two tokens
const WIDEST = 720; // px, of curves over a few tokens

// Cells (rows × columns) in shades up to `most`; negative numbers in another colour. `stretch` fills the width there is.
export function cells(values, { most, label, colour = "blue", width, height, stretch = true }) {
  const levels = new Map();
  values.forEach((row, r) => row.forEach((value, c) => {
    const level = Math.min(LEVELS, Math.round((LEVELS * Math.abs(value ?? 0)) / most));
    if (!level) return;
    const name = `${value < 0 ? "red" : colour} ${level}`;
    levels.set(name, `${levels.get(name) ?? ""}M${c} ${r}h1v1h-1z`);
  }));
  const box = `0 0 ${values[0]?.length ?? 0} ${values.length}`;
  return draw("svg", { class: "cells", viewBox: box, width, height, preserveAspectRatio: stretch ? "none" : "xMinYMin meet", "shape-rendering": "crispEdges", ...(label ? { role: "img", "aria-label": label } : { "aria-hidden": "true" }) },
    ...[...levels].map(([name, d]) => {
      const [kind, level] = name.split(" ");
      return draw("path", { class: `fill-${kind}`, "fill-opacity": (level / LEVELS).toFixed(2), d });
    }));
}

function ticks(from, to, logarithmic) {
  if (logarithmic) {
    const found = [];
    for (let one = Math.floor(from); one <= Math.ceil(to); one += 1) if (one >= from - 0.001 && one <= to + 0.001) found.push(one);
    return found.length > 1 ? found : [from, to];
  }
  return [from, (from + to) / 2, to];
}

// One line for each name over the tokens, with an axis, a legend and a cursor that the mouse or arrow keys move.
export function curves({ lines, tokens, about, logarithmic }, title, room = 0) {
  const told = make("p", { class: "note told", "aria-live": "polite" });
  const names = Object.keys(lines);
  const scaled = (value) => (value === null ? null : logarithmic ? (value > 0 ? Math.log10(value) : null) : value);
  const known = names.flatMap((name) => lines[name].map(scaled)).filter((one) => one !== null);
  let low = Math.min(...known, ...(logarithmic ? [] : [0])), high = Math.max(...known);
  if (!known.length) [low, high] = [0, 1];
  if (high - low < 1e-9) high = low + 1;
  const least = LEFT + RIGHT + STEP * Math.max(tokens.length - 1, 6);
  const width = Math.max(least, Math.min(room, WIDEST));
  const longest = Math.max(...tokens.map((one) => [...one].length), 1);
  const height = BASE + 16 + Math.min(9 * longest, 90);
  const x = (n) => LEFT + (n * (width - LEFT - RIGHT)) / Math.max(tokens.length - 1, 1);
  const y = (value) => TOP + (1 - (value - low) / (high - low)) * (BASE - TOP);
  const grid = ticks(low, high, logarithmic).flatMap((value) => [
    draw("line", { class: "axis", x1: LEFT, x2: width - RIGHT, y1: y(value), y2: y(value) }),
    draw("text", { x: LEFT - 6, y: y(value) + 4, "text-anchor": "end", text: number(logarithmic ? 10 ** value : value) })]);
  const every = Math.ceil(tokens.length / 200);
  const labels = tokens.map((text, n) => (n % every ? null
    : draw("text", { transform: `translate(${x(n) + 4} ${BASE + 14}) rotate(-60)`, "text-anchor": "end", text: [...text].slice(0, 12).join("") }))).filter(Boolean);
  const plots = names.map((name, n) => {
    let d = "", pen = "M";
    lines[name].forEach((value, at) => {
      const one = scaled(value);
      if (one === null) pen = "M";
      else { d += `${pen}${x(at).toFixed(1)} ${y(one).toFixed(1)}`; pen = "L"; }
    });
    return draw("path", { class: `curve ${style(n, names.length)}`, "stroke-opacity": depth(n, names.length), d });
  });
  const cursor = draw("line", { class: "cursor", y1: TOP, y2: BASE, x1: LEFT, x2: LEFT, visibility: "hidden" });
  const picture = draw("svg", { class: "chart", width, height, viewBox: `0 0 ${width} ${height}`, role: "img", tabindex: "0", "aria-label": `${title}: ${about}. ${t("chart.keys")}` },
    ...grid, ...labels, ...plots, cursor);
  let at = -1;
  const show = (to) => {
    at = to;
    cursor.setAttribute("visibility", "visible");
    for (const side of ["x1", "x2"]) cursor.setAttribute(side, x(at));
    const most = names.slice(0, 8).map((name) => `${name} ${number(lines[name][at])}`).join(" · ");
    told.textContent = `${tokens[at]}: ${most}`;
  };
  picture.addEventListener("mousemove", (event) => {
    const box = picture.getBoundingClientRect();
    const share = (((event.clientX - box.left) / box.width) * width - LEFT) / (width - LEFT - RIGHT);
    show(Math.max(0, Math.min(tokens.length - 1, Math.round(share * (tokens.length - 1)))));
  });
  picture.addEventListener("keydown", (event) => {
    const to = arrow(event, at, tokens.length);
    if (to === null) return;
    event.preventDefault();
    show(to);
  });
  const keys = make("p", { class: "legend" }, make("span", { text: logarithmic ? `${about} (${t("logarithmic")})` : about }), ...names.map((name, n) => make("span", { class: "legend-key" },
    draw("svg", { class: "sample", width: 28, height: 10, "aria-hidden": "true" }, draw("path", { class: `curve ${style(n, names.length)}`, "stroke-opacity": depth(n, names.length), d: "M0 5L28 5" })), name)));
  return make("div", {}, scroller(title, picture), keys, told);
}

// Few lines differ in colour and dashes; many, as of the layers of a deep model, from pale to dark.
const style = (n, count) => (count > 6 ? "line-deep" : `line-${n}`);
const depth = (n, count) => (count > 6 ? (0.25 + (0.75 * n) / (count - 1)).toFixed(2) : "1");
