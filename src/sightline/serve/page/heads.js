// The tab of heads: a small matrix of each, those first without which most is lost.

import { make, roving, scroller, switcher } from "./dom.js";
import { cells } from "./charts.js";
import { fullShade, legend, number } from "./legend.js";
import { Panel } from "./panel.js";
import { t } from "./strings.js";

// By what heads are ordered, and which way.
const ORDERS = { effect: -1, entropy: 1, distance: 1, diagonality: -1 };

export class HeadsPanel extends Panel {
  async load(signal) {
    this.found = await this.ask("heads", signal);
    this.draw();
  }

  draw() {
    const { heads, measures, unit } = this.found;
    const orders = Object.keys(ORDERS).filter((name) => measures.includes(name));
    const by = orders.includes(this.chosen.by) ? this.chosen.by : orders.includes("effect") ? "effect" : orders[0];
    const size = (one) => (one[by] === null ? Infinity : ORDERS[by] * one[by]);
    const sorted = [...heads].sort((a, b) => size(a) - size(b));
    const values = sorted.flatMap((one) => one.weights ?? []);
    const most = fullShade(values, this.chosen.scale);
    const thumbs = roving(sorted.map((one) => this.thumb(one, by, unit, most)));
    this.body.replaceChildren(
      make("p", { class: "note", text: measures.includes("effect") ? t("heads.about", unit || t("of.the.output")) : t("heads.without") }),
      make("div", { class: "controls" }, switcher(t("ordered.by"), orders.map((name) => [name, t(`measure.${name}`)]), by,
        (name) => { this.chosen.by = name; this.column.remember(); this.draw(); })),
      make("div", { class: "thumbs", role: "group", "aria-label": t("heads") }, ...thumbs),
      legend(t("legend.attention"), most),
      make("details", {}, make("summary", { text: t("heads.table") }), scroller(t("heads.table"), table(sorted, measures))));
  }

  thumb(one, by, unit, most) {
    const measured = `${t(`measure.${by}`)} ${number(one[by])}${by === "effect" && unit ? ` ${unit}` : ""}`;
    return make("button", { type: "button", class: "thumb", "aria-label": `${one.site}, ${measured}`, onclick: () => this.column.showHead(one.site) },
      one.weights ? cells(one.weights, { most, label: "", width: 112, height: 84 }) : make("span", { class: "note", text: t("too.large") }),
      make("span", { class: "thumb-name", text: one.site }), make("span", { class: "thumb-note", text: measured }));
  }
}

function table(heads, measures) {
  const head = make("tr", {}, ...[t("head"), ...measures.map((name) => t(`measure.${name}`))].map((text) => make("th", { scope: "col", text })));
  const rows = heads.map((one) => make("tr", {}, make("th", { scope: "row", text: one.site }), ...measures.map((name) => make("td", { text: number(one[name]) }))));
  return make("table", { class: "heads" }, make("thead", {}, head), make("tbody", {}, ...rows));
}
