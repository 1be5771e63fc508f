// The tab that goes through what was written a step at a time: what was looked at, what came of it, what else might
// have stood there.

import { bare, make, percent, scroller, shade } from "./dom.js";
import { cells } from "./charts.js";
import { fullShade, largest, legend, number } from "./legend.js";
import { Panel } from "./panel.js";
import { t } from "./strings.js";

const PACE = 900; // ms of a step while it plays

export class StepsPanel extends Panel {
  constructor(column) {
    super(column);
    Object.assign(this, { at: 0, timer: null });
  }

  look(subject) {
    this.pause();
    super.look(subject);
    this.at = 0;
  }

  async load(signal) {
    const { site, head } = this.chosen;
    const more = site && site.startsWith("decoder") && !site.includes("self") ? { site: head ? `${site}:${head}` : site } : {};
    this.found = await this.ask("steps", signal, more);
    // of a language model the steps are those of all that was read, too
    this.offset = this.subject.firstStep?.(this.found.steps.length) ?? 0; // negative where the beginning is out of reach
    this.first = Math.max(0, this.offset);
    this.at = Math.min(Math.max(this.at, this.first), this.found.steps.length - 1);
    this.build();
  }

  build() {
    const { steps } = this.found;
    this.range = make("input", { type: "range", min: this.first, max: steps.length - 1, step: 1, "aria-label": t("step"), oninput: () => { this.pause(); this.go(Number(this.range.value)); } });
    this.player = make("button", { type: "button", onclick: () => (this.timer ? this.pause() : this.play()) });
    this.before = make("button", { type: "button", text: "◀", "aria-label": t("step.before"), onclick: () => { this.pause(); this.go(this.at - 1); } });
    this.after = make("button", { type: "button", text: "▶", "aria-label": t("step.after"), onclick: () => { this.pause(); this.go(this.at + 1); } });
    this.said = make("output");
    this.place = make("div");
    const keys = (event) => {
      if (event.target.matches("input, select") || !["ArrowLeft", "ArrowRight"].includes(event.key)) return;
      event.preventDefault();
      this.pause();
      this.go(this.at + (event.key === "ArrowLeft" ? -1 : 1));
    };
    const controls = make("div", { class: "controls", role: "group", "aria-label": t("steps"), onkeydown: keys }, this.player, this.before, this.range, this.after, this.said);
    this.body.replaceChildren(make("p", { class: "note", text: this.found.site ? t("steps.about", this.found.site) : t(this.found.bottleneck ? "steps.fixed" : "steps.state") }), controls, this.place);
    this.pause();
    this.go(this.at);
  }

  play() {
    if (this.at >= this.found.steps.length - 1) this.at = this.first - 1;
    this.timer = setInterval(() => {
      if (!this.root.isConnected || this.at >= this.found.steps.length - 1) this.pause();
      else this.go(this.at + 1);
    }, PACE);
    this.player.textContent = t("pause");
    this.go(this.at + 1);
  }

  pause() {
    clearInterval(this.timer);
    this.timer = null;
    if (this.player) this.player.textContent = t("play");
  }

  go(to) {
    const { steps } = this.found;
    if (to < this.first || to >= steps.length) return;
    this.at = to;
    this.range.value = to;
    this.range.setAttribute("aria-valuetext", bare(steps[to].token));
    this.said.textContent = t("step.of", to - this.first + 1, steps.length - this.first);
    [this.before.disabled, this.after.disabled] = [to === this.first, to === steps.length - 1];
    this.place.replaceChildren(this.written(), ...this.looked(), ...this.vectors(), ...this.likeliest());
  }

  // What was written until now; what was forced is marked.
  written() {
    const { steps } = this.found;
    const forced = this.subject.forcedSteps?.() ?? 0;
    const pieces = steps.slice(this.first, this.at + 1).map(({ token }, n) => make("span", {
      class: ["piece", n === this.at - this.first ? "now" : "", n < forced ? "forced" : ""].filter(Boolean).join(" "),
      title: n < forced ? t("forced") : null, text: `${token.startsWith("▁") && n ? " " : ""}${bare(token) || "␣"}`,
    }));
    return make("p", { class: "so-far", dir: "auto" }, ...pieces);
  }

  looked() {
    const { weights, energies, positions } = this.found;
    if (!weights) return [];
    const most = fullShade(weights, this.chosen.scale);
    const row = weights[this.at];
    const bars = row.map((weight, n) => {
      if (positions.length === this.found.steps.length && n > this.at && weight === 0) return null; // not read yet
      const filled = make("span", { class: "rod-fill" });
      filled.style.height = `${Math.min(100, (100 * weight) / most).toFixed(1)}%`;
      const energy = energies?.[this.at]?.[n];
      const about = `${bare(positions[n])}: ${number(weight)}${energy === undefined || energy === null ? "" : `, ${t("energy")} ${number(energy)}`}`;
      return make("div", { class: "rod", role: "img", "aria-label": about, title: about }, make("span", { class: "rod-bar" }, filled),
        make("span", { class: "rod-name", text: bare(positions[n]) || positions[n] }), make("span", { class: "rod-number", text: number(weight) }),
        ...(energies ? [make("span", { class: "rod-number soft", text: number(energy) })] : []));
    }).filter(Boolean);
    return [make("h3", { text: t("step.looked") }), scroller(t("step.looked"), make("div", { class: "rods" }, ...bars)),
      make("p", { class: "note", text: energies ? t("rods.energies") : t("rods.weights") }), legend(t("legend.attention"), most)];
  }

  // The vectors of this step; of a fixed context the one vector that never changes.
  vectors() {
    const { context, state, bottleneck, of } = this.found;
    const strip = (name, vector, all, width) => {
      const most = largest(all);
      return [make("h3", { text: t(`vector.${name}`) }), make("p", { class: "note", text: t(`vector.${name}.about`, Math.min(vector.length, width), width) }),
        cells([vector], { most, label: `${t(`vector.${name}`)}, ${t("step.number", this.at - this.first + 1)}`, width: "100%", height: 28 }), legend(t("legend.vector"), most, { signed: true })];
    };
    return [
      ...(bottleneck ? strip("bottleneck", bottleneck, [bottleneck], of.bottleneck) : []),
      ...(context ? strip("context", context[this.at], context, of.context) : []),
      ...(state ? strip("state", state[this.at], state, of.state) : []),
    ];
  }

  // The likeliest pieces here. One that can be gone on from is a button.
  likeliest() {
    const written = this.found.steps[this.at];
    const number = this.at - this.offset;
    const options = this.subject.candidates?.(number, written.token);
    const rows = (options ?? written.likeliest).map((one) => {
      const name = one.text?.trim() || bare(one.token) || one.token;
      const usable = options && one.text.trim() && !one.text.includes("\ufffd");
      const box = make("span", { class: "bar" });
      const filled = make("span");
      filled.style.width = percent(one.log_probability).replace(" ", "").replace("–", "0%");
      box.append(filled);
      const chosen = one.token === written.token;
      const label = make(usable ? "button" : "span", { type: usable ? "button" : null, class: chosen ? "candidate chosen" : "candidate", text: name,
        title: usable ? t("go.on") : null, onclick: usable ? () => this.subject.goOn(number, one) : undefined });
      if (chosen) label.style.background = shade(0.2);
      return [label, box, make("span", { class: "figure", text: percent(one.log_probability) })];
    });
    return [make("h3", { text: t("step.likeliest") }), make("p", { class: "note", text: options ? t("likeliest.about") : t("likeliest.only") }),
      make("div", { class: "bars" }, ...rows.flat())];
  }
}
