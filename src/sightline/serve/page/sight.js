// The part of a column that shows where its model looked: choosing a site, the line of what was read, the matrix.

import { ask } from "./api.js";
import { bare, choices, make, shade } from "./dom.js";
import { grid, saveAs } from "./matrix.js";

const MOST_CELLS = 40000;
const NO_ATTENTION = "This model attends to nothing: what it knows of the text has to fit into one fixed vector, so there is no attention to see.";

export class Sight {
  // `remember` is told what was chosen, so that a link restores it.
  constructor(model, chosen, remember) {
    Object.assign(this, { model, chosen, remember, asked: null, found: null, onRow: null });
    this.site = make("select", { "aria-label": "attention", onchange: () => this.choose({ site: this.site.value, head: "" }) });
    this.head = make("select", { "aria-label": "head", onchange: () => this.choose({ site: this.site.value, head: this.head.value }) });
    this.words = make("input", { type: "checkbox", onchange: () => this.choose({ words: this.words.checked }) });
    this.words.checked = chosen.words ?? true;
    this.check = make("button", { type: "button", text: "Check what mattered", onclick: () => this.occlude() });
    this.ranking = make("button", { type: "button", text: "Compare heads", onclick: () => this.rank() });
    this.told = make("p", { class: "note told", "aria-live": "polite" });
    this.line = make("div", { class: "line tokens", "aria-label": "what was read; darker where it was looked at" });
    this.place = make("div", { class: "scroll", tabindex: "0", role: "group", "aria-label": "matrix" });
    this.extra = make("div");
    this.picture = make("canvas", { hidden: true, role: "img", "aria-label": "the image; brighter where it was looked at" });
    this.exports = make("div", { class: "controls" }, ...["svg", "png", "json", "html"].map((kind) =>
      make("button", { type: "button", text: kind.toUpperCase(), "aria-label": `save as ${kind.toUpperCase()}`, onclick: () => saveAs(kind, this.shown(), this.found) })));
    this.slider = this.makeSlider();
    this.root = make("div", { hidden: true }, make("h3", { text: "Where it looked" }), this.line, this.picture,
      make("div", { class: "controls" }, this.site, this.head, make("label", {}, this.words, " whole words")),
      this.slider, this.told, this.place, make("div", { class: "controls" }, this.check, this.ranking), this.extra, this.exports);
  }

  makeSlider() {
    const steps = [...this.model.checkpoints];
    if (steps.length < 2) return make("div", { hidden: true });
    const said = make("output", { text: "as trained" });
    const range = make("input", { type: "range", min: 0, max: steps.length, step: 1, "aria-label": "training checkpoint" });
    const at = steps.indexOf(this.chosen.checkpoint);
    range.value = at < 0 ? steps.length : at;
    const tell = () => {
      said.textContent = steps[range.value] === undefined ? "as trained" : `after ${steps[range.value]} updates`;
      range.setAttribute("aria-valuetext", said.textContent);
    };
    tell();
    range.addEventListener("input", () => { tell(); this.choose({ checkpoint: steps[range.value] }); });
    return make("div", { class: "controls" }, make("label", {}, "Training ", range), said);
  }

  async choose(change) {
    Object.assign(this.chosen, change);
    this.remember();
    this.extra.replaceChildren(); // it was of what is no longer shown
    if ("words" in change) this.draw();
    else await this.load();
  }

  // Looks at what the model reads: {text, target} or {image}.
  async look(asked) {
    this.asked = asked;
    this.found = null;
    this.extra.replaceChildren();
    await this.load();
  }

  body() {
    const { site, head, checkpoint } = this.chosen;
    const body = { model: this.model.id, ...this.asked };
    if (site) body.site = head ? `${site}:${head}` : site;
    if (checkpoint !== undefined) body.checkpoint = checkpoint;
    return body;
  }

  async load() {
    if (!this.asked) return;
    this.pending?.abort();
    this.pending = new AbortController();
    try {
      this.found = await ask("/v1/attention", this.body(), this.pending.signal);
    } catch (error) {
      if (error.name === "AbortError") return;
      if (this.chosen.site || this.chosen.checkpoint !== undefined) {
        // a link may name what this run has not
        Object.assign(this.chosen, { site: "", head: "", checkpoint: undefined });
        await this.load();
      }
      this.root.hidden = false;
      this.told.textContent = error.message;
      return;
    }
    this.root.hidden = false;
    const has = this.found.sites.length > 0;
    for (const part of [this.site, this.head, this.words.parentElement, this.place, this.check, this.ranking, this.exports, this.line]) part.hidden = !has;
    if (!has) { this.told.textContent = NO_ATTENTION; return; }
    this.told.textContent = "";
    const [name, head = ""] = this.found.site.split(":");
    choices(this.site, this.found.sites.map((one) => [one.name, one.name]), name);
    const heads = this.found.sites.find((one) => one.name === name)?.heads ?? 0;
    choices(this.head, [["", heads ? "all heads" : "one head"], ...Array.from({ length: heads }, (_, n) => [String(n), `head ${n}`])], head);
    this.head.disabled = !heads;
    this.words.parentElement.hidden = !this.found.by_word;
    this.draw();
  }

  // What the matrix shows: by word, where there are words and they are wanted, or by token.
  shown() {
    const { found } = this;
    const words = found.by_word && this.words.checked;
    const names = (side) => (words ? side.names : side.tokens.map((one) => bare(one) || one));
    return {
      title: `${found.model}, ${found.site}`, rows: names(found.rows), columns: names(found.columns),
      values: words ? found.by_word : found.weights, words,
    };
  }

  draw() {
    if (!this.found?.weights) return;
    const shown = this.shown();
    this.line.replaceChildren(...shown.columns.map((text) => make("span", { class: "token", text })));
    if (shown.rows.length * shown.columns.length > MOST_CELLS) this.place.replaceChildren("Too large to draw here; save it as JSON.");
    else this.place.replaceChildren(grid(shown, (text) => { this.told.textContent = text; }, (row) => this.highlight(row)));
    if (this.found.image) this.paint(null);
  }

  // Shades what a row of the matrix looked at.
  highlight(row) {
    if (!this.found?.weights) return;
    const shown = this.shown();
    [...this.line.children].forEach((one, c) => { one.style.background = shade(0.8 * (shown.values[row]?.[c] ?? 0)); });
    if (this.found.image) this.paint(row);
    this.onRow?.(row, shown.words);
  }

  // The row of an output token; -1 where rows are something else, as what is read.
  rowOf(token) {
    if (this.found?.axes?.[0] === "source") return -1;
    return this.found?.by_word && this.words.checked ? this.found.rows.words[token] : token;
  }

  async occlude() {
    this.check.disabled = true;
    try {
      const asked = this.asked;
      const found = await ask("/v1/attention", { ...this.body(), check: true });
      if (asked !== this.asked) return; // of a text that is no longer there
      if (!found.occlusion) { this.told.textContent = "Nothing is predicted in this text."; return; }
      const shown = { title: "nats lost", rows: found.outputs.map(bare), columns: found.read.tokens.map(bare), values: found.occlusion.values, signed: true };
      const agreed = typeof found.agreement === "number" ? ` Rank correlation with this attention: ${found.agreement.toFixed(2)}.`
        : " This attention cannot be compared with it.";
      this.extra.replaceChildren(make("h3", { text: "What mattered" }),
        make("p", { class: "note", text: `How many nats each output loses when a position is ${found.occlusion.taken}.${agreed}` }),
        make("div", { class: "scroll", tabindex: "0", role: "group", "aria-label": "what mattered" }, grid(shown, (text) => { this.told.textContent = text; })));
    } catch (error) {
      this.told.textContent = error.message;
    } finally {
      this.check.disabled = false;
    }
  }

  async rank() {
    const { asked } = this;
    const found = await ask("/v1/attention", { ...this.body(), heads: true }).catch((error) => { this.told.textContent = error.message; });
    if (!found || asked !== this.asked) return;
    const measures = ["entropy", "distance", "diagonality"];
    const rows = found.heads.map((one) => make("tr", {},
      make("th", { scope: "row" }, make("button", { type: "button", text: one.site, onclick: () => { const [site, head = ""] = one.site.split(":"); this.choose({ site, head }); } })),
      ...measures.map((name) => make("td", { text: one[name]?.toFixed(2) ?? "–" }))));
    this.extra.replaceChildren(make("h3", { text: "Heads" }), make("div", { class: "scroll", tabindex: "0", role: "group", "aria-label": "heads" },
      make("table", { class: "heads" }, make("thead", {}, make("tr", {}, ...["head", ...measures].map((text) => make("th", { scope: "col", text })))), make("tbody", {}, ...rows))));
  }

  // The image with a veil that is thinner where it was looked at: by rollout, or by a row of the matrix.
  async paint(row) {
    const picture = new Image();
    picture.src = `data:image/png;base64,${this.found.image.png}`;
    await picture.decode();
    const side = this.found.image.rollout.length;
    const looked = row === null ? this.found.image.rollout.flat() : this.found.weights[row].slice(1);
    const most = Math.max(...looked, 1e-9), scale = Math.ceil(224 / picture.naturalWidth);
    this.picture.hidden = false;
    [this.picture.width, this.picture.height] = [picture.naturalWidth * scale, picture.naturalHeight * scale];
    const context = this.picture.getContext("2d");
    context.imageSmoothingEnabled = false;
    context.drawImage(picture, 0, 0, this.picture.width, this.picture.height);
    const patch = this.picture.width / side;
    looked.forEach((weight, n) => {
      context.fillStyle = `rgba(20, 40, 90, ${(0.75 * (1 - weight / most)).toFixed(3)})`;
      context.fillRect((n % side) * patch, Math.floor(n / side) * patch, patch, patch);
    });
  }
}
