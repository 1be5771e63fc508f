// Words that look and words that are looked at, joined by lines: as wide and dark as the weight.

import { draw, make, roving, shade } from "./dom.js";
import { number } from "./legend.js";
import { t } from "./strings.js";

const LEAST = 0.04; // of the darkest; thinner lines are only dirt
const MOST_OF_A_WORD = 12; // lines
const WIDEST = 12; // px
const HEIGHT = 120; // px, of the lines

// The strongest weights of each row as [row, column, share of the darkest].
function links(shown, most) {
  return shown.values.flatMap((row, r) =>
    row.map((value, c) => [r, c, (value ?? 0) / most]).filter(([, , share]) => share >= LEAST)
      .sort((a, b) => b[2] - a[2]).slice(0, MOST_OF_A_WORD));
}

const curve = (from, to, height) => `M${from} 0C${from} ${height / 2} ${to} ${height / 2} ${to} ${height}`;
const stroke = (share) => ({ "stroke-width": Math.max(0.75, WIDEST * share).toFixed(2), "stroke-opacity": (0.15 + 0.7 * share).toFixed(3) });

// What a word looks at, or who looks at it, in words.
function strongest(pairs) {
  return pairs.filter(([, value]) => value > 0.005).sort((a, b) => b[1] - a[1]).slice(0, 3).map(([name, value]) => `${name} ${number(value)}`).join(", ");
}

export function ribbon(shown, { most, tell, onRow }) {
  const word = (text, told, onLook, more) => {
    const one = make("span", { class: "word", role: "img", "aria-label": told, text, ...more });
    for (const kind of ["mouseenter", "focus"]) one.addEventListener(kind, () => { tell(told); onLook(); });
    return one;
  };
  const above = shown.columns.map((text, c) => word(text, `${text} → ${strongest(shown.rows.map((name, r) => [name, shown.values[r][c] ?? 0]))}`,
    () => byColumn(c), { "data-at": c }));
  const below = shown.rows.map((text, r) => word(text, `${text} ← ${strongest(shown.columns.map((name, c) => [name, shown.values[r][c] ?? 0]))}`,
    () => onRow?.(r), { "data-at": r }));
  const found = links(shown, most);
  const paths = found.map(([, , share]) => draw("path", stroke(share)));
  const lines = draw("svg", { class: "links", height: HEIGHT, "aria-hidden": "true", focusable: "false" }, ...paths);
  const upper = make("div", { class: "words line", role: "group", "aria-label": t("ribbon.above") }, ...roving(above));
  const lower = make("div", { class: "words", role: "group", "aria-label": t("ribbon.below") }, ...roving(below));
  const root = make("div", { class: "ribbon" }, upper, lines, lower);

  const middle = (one) => {
    const { left, width } = one.getBoundingClientRect();
    return left + width / 2 - lines.getBoundingClientRect().left;
  };
  const place = () => {
    if (!root.isConnected || !root.offsetWidth) return;
    const [x1, x2] = [above.map(middle), below.map(middle)];
    found.forEach(([r, c], n) => paths[n].setAttribute("d", curve(x1[c].toFixed(1), x2[r].toFixed(1), HEIGHT)));
  };
  new ResizeObserver(place).observe(root);

  const only = (test) => {
    lines.classList.toggle("chosen", found.some(test));
    found.forEach((one, n) => paths[n].classList.toggle("on", test(one)));
  };
  function byColumn(c) {
    only(([, column]) => column === c);
    below.forEach((one, r) => { one.style.background = shade(0.45 * ((shown.values[r][c] ?? 0) / most)); });
    above.forEach((one, n) => { one.style.background = ""; one.classList.toggle("on", n === c); });
    document.dispatchEvent(new CustomEvent("sightline:word", { detail: { root, text: shown.columns[c], at: c } }));
  }
  const highlight = (row) => {
    only(([r]) => r === row);
    above.forEach((one, c) => { one.classList.remove("on"); one.style.background = shade(0.45 * ((shown.values[row]?.[c] ?? 0) / most)); });
    below.forEach((one, r) => { one.style.background = ""; one.classList.toggle("on", r === row); });
  };
  // the same word lights up in every model's picture
  const onWord = ({ detail }) => {
    if (!root.isConnected) document.removeEventListener("sightline:word", onWord);
    else if (detail.root !== root) above.forEach((one, c) => one.classList.toggle("on", c === detail.at && shown.columns[c] === detail.text));
  };
  document.addEventListener("sightline:word", onWord);
  return { root, highlight };
}

// Where words and lines stand in a picture of its own, from the widths of the words.
export function layout(shown, most, widthOf) {
  const gap = 18, left = 16;
  const place = (names) => {
    let x = left;
    return names.map((name) => { const width = widthOf(name); const at = x + width / 2; x += width + gap; return at; });
  };
  const end = (names, at) => (names.length ? at.at(-1) + widthOf(names.at(-1)) / 2 : left);
  const [above, below] = [place(shown.columns), place(shown.rows)];
  const [first, second] = [end(shown.columns, above), end(shown.rows, below)];
  const width = Math.max(first, second) + left;
  // both lines in the middle
  const shift = (at, to) => at.map((x) => x + (width - left - to) / 2);
  const tops = shift(above, first), bottoms = shift(below, second);
  return { width, above: tops, below: bottoms, height: HEIGHT,
    paths: links(shown, most).map(([r, c, share]) => ({ d: curve(tops[c], bottoms[r], HEIGHT), ...stroke(share) })) };
}
