// The tab of attention: choosing a site and a head, lines between words or a matrix, the scale, the checkpoint.

import { ask } from "./api.js";
import { bare, choices, make, scroller, switcher } from "./dom.js";
import { fullShade, legend, maskKeys } from "./legend.js";
import { grid } from "./matrix.js";
import { Panel } from "./panel.js";
import { ribbon } from "./ribbon.js";
import { t } from "./strings.js";
import { Veil } from "./veil.js";

const MOST_CELLS = 40000;
const MOST_WORDS = 80; // beyond which lines are no picture any more

export class AttentionPanel extends Panel {
  constructor(column) {
    super(column);
    Object.assign(this, { found: null, onRow: null, drawn: null });
    this.site = make("select", { "aria-label": t("attention"), onchange: () => this.choose({ site: this.site.value, head: "" }) });
    this.head = make("select", { "aria-label": t("head"), onchange: () => this.choose({ site: this.site.value, head: this.head.value }) });
    this.words = make("input", { type: "checkbox", onchange: () => this.choose({ words: this.words.checked }) });
    this.words.checked = this.chosen.words ?? true;
    this.view = make("div");
    this.scale = make("div");
    this.legends = make("div");
    this.place = scroller(t("attention"));
    this.veil = new Veil();
    this.slider = this.makeSlider();
    this.controls = make("div", { class: "controls" }, this.view, this.site, this.head,
      make("label", { class: "check" }, this.words, make("span", { text: t("whole.words") })), this.scale);
    this.body.append(this.controls, this.told, this.veil.root, this.place, this.legends, this.slider);
    this.root.replaceChildren(this.body);
  }

  makeSlider() {
    const steps = [...this.model.checkpoints];
    if (steps.length < 2) return make("div", { hidden: true });
    const said = make("output", { text: t("as.trained") });
    const range = make("input", { type: "range", min: 0, max: steps.length, step: 1, "aria-label": t("checkpoint") });
    const at = steps.indexOf(this.chosen.checkpoint);
    range.value = at < 0 ? steps.length : at;
    const tell = () => {
      said.textContent = steps[range.value] === undefined ? t("as.trained") : t("after.updates", steps[range.value]);
      range.setAttribute("aria-valuetext", said.textContent);
    };
    tell();
    range.addEventListener("input", () => { tell(); this.choose({ checkpoint: steps[range.value] }); });
    return make("div", { class: "controls" }, make("label", {}, `${t("training")} `, range), said);
  }

  async choose(change) {
    Object.assign(this.chosen, change);
    this.column.remember();
    if ("checkpoint" in change) await this.column.again();
    else if ("site" in change) await this.again();
    else this.draw();
  }

  look(subject) {
    this.controller?.abort();
    Object.assign(this, { subject, fresh: false, found: null, drawn: null });
    this.tell("");
    if (subject) return;
    for (const part of [this.place, this.legends, this.veil.root]) part.replaceChildren();
    this.controls.hidden = true;
    this.tell(t("empty.panel"));
  }

  async load(signal) {
    const { site, head } = this.chosen;
    try {
      this.found = await ask("/v1/attention", this.request(site ? { site: head ? `${site}:${head}` : site } : {}), signal);
    } catch (error) {
      if (error.name === "AbortError") throw error;
      if (this.chosen.site || this.chosen.checkpoint !== undefined) {
        // a link may name what this run has not
        Object.assign(this.chosen, { site: "", head: "", checkpoint: undefined });
        await this.load(signal);
      }
      this.tell(error.message);
      return;
    }
    this.tell("");
    const [name, of = ""] = this.found.site.split(":");
    choices(this.site, this.found.sites.map((one) => [one.name, one.name]), name);
    const heads = this.found.sites.find((one) => one.name === name)?.heads ?? 0;
    choices(this.head, [["", heads ? t("all.heads") : t("one.head")], ...Array.from({ length: heads }, (_, n) => [String(n), t("head.number", n)])], of);
    this.head.disabled = !heads;
    this.words.parentElement.hidden = !this.found.by_word;
    this.controls.hidden = false;
    this.draw();
  }

  // What is shown: by word, where there are words and they are wanted, or by token.
  shown() {
    const { found } = this;
    const words = Boolean(found.by_word) && this.words.checked;
    const names = (side) => (words ? side.names : side.tokens.map((one) => bare(one) || one));
    return {
      title: `${found.model}, ${found.site}`, rows: names(found.rows), columns: names(found.columns),
      values: words ? found.by_word : found.weights, masked: words ? maskByWord(found) : found.mask, words,
    };
  }

  // Lines or a matrix: what was chosen, or what there is room for.
  get form() {
    const { rows, columns } = this.shown();
    if (rows.length + columns.length > 2 * MOST_WORDS || this.found.image) return "matrix";
    return this.chosen.view ?? "ribbon";
  }

  draw() {
    if (!this.found?.weights) return;
    const shown = this.shown();
    const { form } = this;
    const most = fullShade(shown.values, this.chosen.scale);
    const scale = this.chosen.scale ?? (most === 1 ? "absolute" : "relative");
    this.view.replaceChildren(switcher(t("view"), [["ribbon", t("ribbon")], ["matrix", t("matrix")]], form, (view) => this.choose({ view })));
    this.view.hidden = Boolean(this.found.image);
    this.scale.replaceChildren(switcher(t("scale"), [["absolute", t("absolute")], ["relative", t("relative")]], scale, (one) => this.choose({ scale: one })));
    const options = { most, tell: (text) => this.tell(text), onRow: (row) => this.highlight(row), room: this.place.clientWidth };
    if (shown.rows.length * shown.columns.length > MOST_CELLS) {
      this.drawn = null;
      this.place.replaceChildren(t("too.large"));
    } else {
      this.drawn = form === "ribbon" ? ribbon(shown, options) : grid(shown, options);
      this.place.replaceChildren(this.drawn.root);
    }
    this.legends.replaceChildren(legend(t("legend.attention"), most), ...(form === "matrix" ? maskKeys(shown) : []));
    if (this.found.image) this.veil.paint(this.found);
    else this.veil.root.replaceChildren();
    this.highlight(null);
  }

  // Shows what a row looked at, here and on the output above.
  highlight(row) {
    if (!this.found?.weights) return;
    this.drawn?.highlight(row);
    if (this.found.image) this.veil.paint(this.found, row);
    this.onRow?.(row);
  }

  // The row of an output token; -1 where rows are something else, as what is read.
  rowOf(token) {
    if (!this.found || this.found.axes?.[0] === "source") return -1;
    return this.found.by_word && this.words.checked ? this.found.rows.words[token] : token;
  }
}

// 1 where all of a word may look at all of another, 0 where nothing of it may at any, 0.5 between: the pieces of a word
// that come first may not look at those that come after.
export function maskByWord({ mask, rows, columns }) {
  if (!mask) return undefined;
  const sums = rows.names.map(() => columns.names.map(() => [0, 0]));
  mask.forEach((line, r) => line.forEach((open, c) => {
    const cell = sums[rows.words[r]][columns.words[c]];
    cell[0] += open;
    cell[1] += 1;
  }));
  return sums.map((line) => line.map(([open, all]) => (open === all ? 1 : open ? 0.5 : 0)));
}
