// What a shade means: how far a scale goes, and a bar that shows it.

import { make, shade } from "./dom.js";
import { t } from "./strings.js";

const FAINT = 0.5; // weights of which none is larger would be an empty drawing on a scale to 1

export const largest = (values) => values.flat().reduce((most, value) => Math.max(most, Math.abs(value ?? 0)), 0) || 1;

// The value that is drawn darkest: 1 on the absolute scale, the largest on the relative one; where nothing was chosen,
// whichever shows something.
export function fullShade(values, chosen) {
  const most = largest(values);
  if (chosen === "absolute") return 1;
  if (chosen === "relative") return most;
  return most < FAINT ? most : 1;
}

export const number = (value) => {
  if (value === null || value === undefined) return "–";
  const size = Math.abs(value);
  if (size !== 0 && (size < 0.001 || size >= 100000)) return value.toExponential(1);
  return value.toFixed(size >= 100 ? 0 : size >= 10 ? 1 : size >= 0.1 || size === 0 ? 2 : 3);
};

// A bar from nothing to `most`, or from -most to most, with what it is of.
export function legend(about, most, { colour = "--blue", signed = false, least = null } = {}) {
  const bar = make("span", { class: "legend-bar", "aria-hidden": "true" });
  bar.style.background = signed
    ? `linear-gradient(to right, ${shade(1, "--red")}, ${shade(0, "--red")} 50%, ${shade(0, colour)} 50%, ${shade(1, colour)})`
    : `linear-gradient(to right, ${shade(0, colour)}, ${shade(1, colour)})`;
  const from = least ?? (signed ? -most : 0);
  return make("p", { class: "legend" }, make("span", { text: about }), make("span", { text: number(from) }), bar, make("span", { text: number(most) }));
}

// A small box as it is in the drawing, and what it means.
export const key = (kind, about) => make("span", { class: "legend-key" }, make("span", { class: `swatch ${kind}`, "aria-hidden": "true" }), about);

// What boxes mean where a mask, or a part of one, lies over them.
export function maskKeys(shown) {
  const found = [];
  if (shown.masked?.some((row) => row.includes(0))) found.push(key("masked", t("legend.masked")));
  if (shown.masked?.some((row) => row.includes(0.5))) found.push(key("partly", t("legend.partly")));
  return found.length ? [make("p", { class: "legend" }, ...found)] : [];
}
