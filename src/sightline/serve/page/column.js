// One model on the page: what it says, largest; beneath it how sure it was; then the tabs that look inside.

import { FORMS } from "./answers.js";
import { AttentionPanel } from "./attention.js";
import { make } from "./dom.js";
import { HeadsPanel } from "./heads.js";
import { InsidePanel } from "./inside.js";
import { MatteredPanel } from "./mattered.js";
import { SavePanel } from "./save.js";
import { StepsPanel } from "./steps.js";
import { t } from "./strings.js";
import { Tabs } from "./tabs.js";
import { copyButton } from "./written.js";

// The tabs that a model has, in the order in which they are looked at.
function panelsOf(column) {
  const { model } = column;
  if (!model.verbs.includes("attention")) return [];
  const { writes } = FORMS[model.page.answer];
  return [
    ...(model.attends ? [["attention", AttentionPanel], ["heads", HeadsPanel]] : []),
    ...(writes && !model.attends ? [["steps", StepsPanel]] : []),
    ["inside", InsidePanel],
    ...(writes && model.attends ? [["steps", StepsPanel]] : []),
    ["mattered", MatteredPanel],
    ["save", SavePanel],
  ].map(([name, kind]) => [name, new kind(column)]);
}

export class Column {
  // `page` says what is wrong with a request (`fail`); `remember` keeps what was chosen in the address.
  constructor(model, chosen, remember, page) {
    Object.assign(this, { model, chosen, remember, page, controller: null, began: 0, answerText: "" });
    this.output = make("div", { class: "output", dir: "auto", "aria-label": t("output.of", model.id), role: "region", tabindex: "-1" });
    this.copy = copyButton(() => this.answerText);
    this.measure = make("div", { class: "measure" });
    this.detail = make("div");
    this.panels = new Map(panelsOf(this));
    this.attention = this.panels.get("attention") ?? null;
    this.tabs = this.panels.size ? new Tabs(t("look.inside", model.id), [...this.panels].map(([name, panel]) => [name, t(`tab.${name}`), panel.root]), chosen.tab, (name) => this.turn(name)) : null;
    const about = [model.kind, t("parameters", model.parameters.toLocaleString(document.documentElement.lang)), ...(model.languages.length ? [model.languages.join(" → ")] : [])].join(" · ");
    this.root = make("section", { "aria-label": model.id, class: "model" }, make("header", { class: "model-head" }, make("h2", { text: model.id }), make("p", { class: "note", text: about })),
      make("div", { class: "said" }, this.output, this.copy), this.measure, this.detail, ...(this.tabs ? [this.tabs.root] : []));
    this.clear();
  }

  clear() {
    this.controller?.abort();
    this.answerText = "";
    this.copy.hidden = true;
    this.measure.replaceChildren();
    this.detail.replaceChildren();
    this.output.replaceChildren(make("p", { class: "empty", text: t("empty.output") }), ...this.page.exampleButtons(this.model));
    this.look(null);
  }

  // What was told of an answer that is no longer that of the text.
  age() {
    this.measure.replaceChildren();
    this.detail.replaceChildren();
  }

  get signal() { return this.controller.signal; }

  // The subject of all tabs; the one that is open asks at once.
  async look(subject) {
    for (const panel of this.panels.values()) panel.look(subject);
    if (this.tabs) this.tabs.root.hidden = !subject;
    if (subject && this.tabs) await this.panels.get(this.tabs.chosen).show();
  }

  // Asks anew for what is seen, as of another checkpoint; the other tabs when they are opened.
  async again() {
    for (const panel of this.panels.values()) panel.fresh = false;
    if (this.tabs) await this.panels.get(this.tabs.chosen).show();
  }

  turn(name) {
    this.chosen.tab = name;
    this.remember();
    this.panels.get("steps")?.pause();
    return this.panels.get(name).show();
  }

  showHead(label) {
    const [site, head = ""] = label.split(":");
    Object.assign(this.chosen, { site, head });
    for (const panel of [this.attention, this.panels.get("mattered"), this.panels.get("steps")]) if (panel) panel.fresh = false;
    this.tabs.choose("attention");
  }

  // Runs something of this column's in place of whatever it was doing.
  async start(work) {
    this.controller?.abort();
    const mine = (this.controller = new AbortController());
    this.began = performance.now();
    this.age();
    this.root.setAttribute("aria-busy", "true");
    try {
      await work(this);
    } catch (error) {
      if (error.name === "AbortError") return;
      this.clear();
      this.page.fail(error, this);
    } finally {
      if (mine === this.controller) this.root.removeAttribute("aria-busy");
    }
  }
}
