// A matrix of weights as a grid that is walked with the arrow keys, and as an SVG picture.

import { make, shade } from "./dom.js";

const largest = (values) => values.flat().reduce((most, value) => Math.max(most, Math.abs(value)), 1e-9);

export function grid(shown, tell, onRow) {
  const scale = shown.signed ? largest(shown.values) : 1;
  const cells = shown.values.map((row, r) =>
    row.map((value, c) => {
      const told = `${shown.rows[r]} ← ${shown.columns[c]}: ${value === null ? "not taken out" : value.toFixed(3)}`;
      const td = make("td", { role: "gridcell", tabindex: r || c ? -1 : 0, "aria-label": told });
      td.style.background = shade(Math.abs(value) / scale, value < 0 ? "--red" : "--blue");
      const show = () => { tell(told); onRow?.(r); };
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
  const head = make("tr", { role: "row" }, make("th", { role: "columnheader" }, make("span", { class: "unseen", text: "looks at" })),
    ...shown.columns.map((text) => make("th", { role: "columnheader", text })));
  const body = cells.map((row, r) =>
    make("tr", { role: "row" }, make("th", { role: "rowheader", text: shown.rows[r] }), ...row));
  return make("table", { class: "grid", role: "grid", "aria-label": shown.title },
    make("thead", { role: "rowgroup" }, head), make("tbody", { role: "rowgroup" }, ...body));
}

// what XML has no place for shows as a box
const escaped = (text) => text.replace(/[\u0000-\u0008\u000b\u000c\u000e-\u001f\ufffe\uffff]/g, "\u25a1").replace(/[&<>"']/g, (one) => `&#${one.charCodeAt(0)};`);

// The same as a picture that needs nothing else.
export function svg(shown) {
  const cell = 22, left = 16 + 11 * Math.max(...shown.rows.map((one) => [...one].length), 4);
  const top = 40 + 11 * Math.max(...shown.columns.map((one) => [...one].length), 4);
  const width = left + cell * shown.columns.length + 12, height = top + cell * shown.rows.length + 12;
  const scale = shown.signed ? largest(shown.values) : 1;
  const parts = [
    `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}" viewBox="0 0 ${width} ${height}" font-family="sans-serif" font-size="13">`,
    `<title>${escaped(shown.title)}</title>`,
    `<rect width="${width}" height="${height}" fill="#ffffff"/>`,
    `<text x="8" y="20" fill="#1b1f24">${escaped(shown.title)}</text>`,
  ];
  shown.columns.forEach((name, c) => {
    const x = left + cell * c + 15;
    parts.push(`<text transform="translate(${x} ${top - 6}) rotate(-90)" fill="#1b1f24">${escaped(name)}</text>`);
  });
  shown.rows.forEach((name, r) => {
    parts.push(`<text x="${left - 6}" y="${top + cell * r + 15}" text-anchor="end" fill="#1b1f24">${escaped(name)}</text>`);
    shown.values[r].forEach((value, c) => {
      const colour = value < 0 ? "#b03a2e" : "#1f5fa8";
      parts.push(`<rect x="${left + cell * c}" y="${top + cell * r}" width="${cell}" height="${cell}" fill="${colour}" fill-opacity="${Math.min(1, Math.abs(value) / scale).toFixed(3)}" stroke="#d0d7de"/>`);
    });
  });
  parts.push("</svg>");
  return parts.join("\n");
}

function save(name, type, content) {
  const url = URL.createObjectURL(new Blob([content], { type }));
  make("a", { href: url, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(url), 1000);
}

async function png(shown) {
  const picture = new Image();
  const url = URL.createObjectURL(new Blob([svg(shown)], { type: "image/svg+xml" }));
  picture.src = url;
  await picture.decode();
  const canvas = make("canvas");
  [canvas.width, canvas.height] = [2 * picture.naturalWidth, 2 * picture.naturalHeight];
  canvas.getContext("2d").drawImage(picture, 0, 0, canvas.width, canvas.height);
  URL.revokeObjectURL(url);
  return new Promise((resolve) => canvas.toBlob(resolve, "image/png"));
}

// Writes what is shown to a file of this kind; `data` is what a JSON file holds.
export async function saveAs(kind, shown, data) {
  if (kind === "svg") save("attention.svg", "image/svg+xml", svg(shown));
  else if (kind === "png") save("attention.png", "image/png", await png(shown));
  else if (kind === "json") save("attention.json", "application/json", JSON.stringify(data, null, 1));
  else {
    const page = `<!doctype html><html lang="en"><meta charset="utf-8"><title>${escaped(shown.title)}</title>` +
      `<body>${svg(shown)}<pre>${escaped(JSON.stringify(data))}</pre></body></html>`;
    save("attention.html", "text/html", page);
  }
}
