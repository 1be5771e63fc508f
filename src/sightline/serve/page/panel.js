// What all tabs of a model have in common: a subject that is looked at, asked for when the tab is seen first.

import { ask } from "./api.js";
import { make } from "./dom.js";
import { t } from "./strings.js";

export class Panel {
  // `column` is the model's: its `model`, what was `chosen` in it, how that is remembered (`remember`).
  constructor(column) {
    Object.assign(this, { column, subject: null, fresh: true, controller: null });
    this.told = make("p", { class: "note told", "aria-live": "polite" });
    this.body = make("div", { class: "panel-body" });
    this.root = make("div", {}, this.body);
  }

  get model() { return this.column.model; }

  get chosen() { return this.column.chosen; }

  tell(text) { this.told.textContent = text; }

  // What is looked at from now on: {asked: {text, target} or {image}, answer, …}; null is nothing.
  look(subject) {
    this.controller?.abort();
    Object.assign(this, { subject, fresh: false });
    this.tell("");
    if (!subject) this.body.replaceChildren(make("p", { class: "note", text: t("empty.panel") }));
  }

  // Asks and draws, if that was not done of this subject.
  async show() {
    if (this.fresh || !this.subject) return;
    this.fresh = true;
    this.controller?.abort();
    const mine = (this.controller = new AbortController());
    this.root.setAttribute("aria-busy", "true");
    try {
      await this.load(mine.signal);
    } catch (error) {
      if (error.name === "AbortError") return;
      this.fresh = false;
      this.body.replaceChildren(make("p", { class: "note wrong", role: "alert", text: error.message }));
    } finally {
      if (mine === this.controller) this.root.removeAttribute("aria-busy");
    }
  }

  async again() {
    this.fresh = false;
    await this.show();
  }

  // What is asked of every view: the model, what it reads, and at which checkpoint.
  request(more = {}) {
    const { checkpoint } = this.chosen;
    return { model: this.model.id, ...this.subject.asked, ...(checkpoint === undefined ? {} : { checkpoint }), ...more };
  }

  async ask(what, signal, more = {}) {
    const { views } = await ask("/v1/look", this.request({ ...(what ? { what } : {}), ...more }), signal);
    return what ? views[what] : views;
  }
}
