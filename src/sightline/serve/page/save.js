// The tab of saving: what is shown as a picture, its numbers, or everything that was looked at as a page of its own.

import { make } from "./dom.js";
import { fullShade, largest, number } from "./legend.js";
import { layout } from "./ribbon.js";
import { Panel } from "./panel.js";
import { t } from "./strings.js";

const FONT = '15px system-ui, "Noto Sans", "Noto Sans KR", sans-serif';
const INK = "#1b1f24", BLUE = "#1f5fa8", RED = "#b03a2e";

// what XML has no place for shows as a box
const escaped = (text) => text.replace(/[\u0000-\u0008\u000b\u000c\u000e-\u001f\ufffe\uffff]/g, "\u25a1").replace(/[&<>"']/g, (one) => `&#${one.charCodeAt(0)};`);

const measure = make("canvas").getContext("2d");
function widthOf(text) {
  measure.font = FONT;
  return measure.measureText(text).width;
}

const word = (x, y, text, anchor = "middle") => `<text x="${x.toFixed(1)}" y="${y}" text-anchor="${anchor}" fill="${INK}">${escaped(text)}</text>`;

function frame(shown, width, height, parts) {
  const wide = Math.max(width, widthOf(shown.title) + 24);
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" width="${Math.ceil(wide)}" height="${Math.ceil(height)}" viewBox="0 0 ${Math.ceil(wide)} ${Math.ceil(height)}" font-family="system-ui, Noto Sans, Noto Sans KR, sans-serif" font-size="15">`,
    `<title>${escaped(shown.title)}</title>`, '<rect width="100%" height="100%" fill="#ffffff"/>', word(12, 24, shown.title, "start"), ...parts, "</svg>",
  ].join("\n");
}

function scale(y, most) {
  const steps = [0, 0.25, 0.5, 0.75, 1].map((share, n) => `<rect x="${44 + 24 * n}" y="${y}" width="24" height="12" fill="${BLUE}" fill-opacity="${share}" stroke="#d0d7de"/>`);
  return [word(36, y + 11, "0", "end"), ...steps, word(172, y + 11, number(most), "start")];
}

// What is shown as a picture that needs nothing else: lines between words, or a matrix.
export function svg(shown, form, chosen) {
  const most = shown.signed ? largest(shown.values) : fullShade(shown.values, chosen);
  if (form === "ribbon") {
    const { width, height, above, below, paths } = layout(shown, most, widthOf);
    const lines = paths.map((one) => `<path d="${one.d}" fill="none" stroke="${BLUE}" stroke-width="${one["stroke-width"]}" stroke-opacity="${one["stroke-opacity"]}" transform="translate(0 72)"/>`);
    return frame(shown, width, height + 132, [...shown.columns.map((text, c) => word(above[c], 64, text)), ...lines,
      ...shown.rows.map((text, r) => word(below[r], height + 90, text)), ...scale(height + 108, most)]);
  }
  const cell = 26, left = 24 + Math.max(40, ...shown.rows.map(widthOf)), top = 56 + Math.max(20, ...shown.columns.map(widthOf));
  const parts = shown.columns.map((name, c) => `<text transform="translate(${left + cell * c + 18} ${top - 8}) rotate(-90)" fill="${INK}">${escaped(name)}</text>`);
  shown.rows.forEach((name, r) => {
    parts.push(word(left - 8, top + cell * r + 18, name, "end"));
    shown.values[r].forEach((value, c) => parts.push(`<rect x="${left + cell * c}" y="${top + cell * r}" width="${cell}" height="${cell}" fill="${value < 0 ? RED : BLUE}" fill-opacity="${Math.min(1, Math.abs(value) / most).toFixed(3)}" stroke="#d0d7de"/>`));
  });
  const bottom = top + cell * shown.rows.length;
  return frame(shown, Math.max(220, left + cell * shown.columns.length + 16), bottom + 40, [...parts, ...scale(bottom + 16, most)]);
}

function save(name, type, content) {
  const url = URL.createObjectURL(new Blob([content], { type }));
  make("a", { href: url, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(url), 1000);
}

async function png(source) {
  const picture = new Image();
  const url = URL.createObjectURL(new Blob([source], { type: "image/svg+xml" }));
  picture.src = url;
  await picture.decode();
  const canvas = make("canvas");
  [canvas.width, canvas.height] = [2 * picture.naturalWidth, 2 * picture.naturalHeight];
  canvas.getContext("2d").drawImage(picture, 0, 0, canvas.width, canvas.height);
  URL.revokeObjectURL(url);
  return new Promise((resolve) => canvas.toBlob(resolve, "image/png"));
}

export class SavePanel extends Panel {
  async load() {
    const kinds = this.model.attends ? ["SVG", "PNG", "JSON", "HTML"] : ["JSON"];
    this.body.replaceChildren(make("dl", { class: "kinds" }, ...kinds.flatMap((kind) => [
      make("dt", {}, make("button", { type: "button", text: kind, "aria-label": t("save.as", kind), onclick: () => this.save(kind) })),
      make("dd", { class: "note", text: t(`save.${kind}`) })])), this.told);
  }

  async save(kind) {
    this.tell("");
    try {
      const { attention } = this.column;
      if (attention) {
        if (!attention.found) await attention.again();
        if (!attention.found?.weights) throw new Error(t("too.large"));
      }
      const drawn = attention && svg(attention.shown(), attention.form, this.chosen.scale);
      if (kind === "SVG") save("attention.svg", "image/svg+xml", drawn);
      else if (kind === "PNG") save("attention.png", "image/png", await png(drawn));
      else if (kind === "JSON") save(attention ? "attention.json" : "inside.json", "application/json", JSON.stringify(attention?.found ?? await this.ask(null), null, 1));
      else save("attention.html", "text/html", (await this.ask("page")).html);
      this.tell(t("saved", kind));
    } catch (error) {
      this.tell(error.message);
    }
  }
}
