// The tab of what is inside and no attention: gates, belt, states, gradients, positions, masks, norms, the logit lens.

import { bare, choices, make, scroller, shade } from "./dom.js";
import { cells, curves } from "./charts.js";
import { key, largest, legend, number } from "./legend.js";
import { grid } from "./matrix.js";
import { Panel } from "./panel.js";
import { t } from "./strings.js";

const MOST_CELLS = 10000;

// How each form of view is drawn: (view, its title, the width there is, tell) → elements.
const FORMS = {
  curves: (view, title, room) => [curves(named(view), title, room)],
  states: (view, title, room) => {
    const most = largest(view.units);
    const turned = view.units[0].map((_, unit) => view.units.map((row) => row[unit]));
    return [curves(named(view), title, room), picture(turned, most, t("states.units", turned.length, view.of), room, view.tokens),
      legend(t("legend.state"), most, { signed: true })];
  },
  positions: (view, title, room) => {
    const most = largest(view.table);
    const tokens = view.products.map((_, distance) => String(distance));
    return [picture(view.table, most, t("positions.table", view.table[0].length, view.of), room), legend(t("legend.position"), most, { signed: true }),
      curves({ lines: { [t("positions.product")]: view.products }, tokens, about: t("positions.along"), logarithmic: false }, title, room)];
  },
  mask: (view, title, room, tell) => {
    const shown = { title, rows: view.rows.map(bare), columns: view.columns.map(bare), values: view.mask, masked: view.mask };
    const large = view.mask.length * view.columns.length > MOST_CELLS;
    return [make("p", { class: "note", text: view.site }), scroller(title, large ? t("too.large") : grid(shown, { most: 1, tell, room }).root),
      make("p", { class: "legend" }, key("open", t("legend.open")), key("masked", t("legend.masked")))];
  },
  lens: (view, title) => [scroller(title, lens(view, title)), legend(t("legend.lens"), 1)],
};

const named = (view) => ({ ...view, tokens: view.tokens.map((one) => bare(one) || one), about: [view.about, view.along].filter(Boolean).join(", ") });

function picture(values, most, label, room, tokens) {
  const width = Math.max(240, 14 * values[0].length, Math.min(room, 32 * values[0].length)), height = Math.min(260, Math.max(90, 4 * values.length));
  return make("figure", {}, scroller(label, cells(values, { most, label, width, height })),
    make("figcaption", { class: "note", text: tokens ? `${label}: ${tokens.map(bare).join(" ")}` : label }));
}

function lens(view, title) {
  const layers = view.layers.map((name, n) => [name, view.tokens[n], view.probabilities[n]]).reverse();
  const cell = (token, probability) => {
    const one = make("td", { text: bare(token) || token, title: number(probability) });
    one.append(make("small", { text: ` ${number(probability)}` }));
    one.style.background = shade(0.45 * probability);
    return one;
  };
  return make("table", { class: "lens", "aria-label": title },
    make("thead", {}, make("tr", {}, make("th", { scope: "col", text: t("layer") }), ...view.inputs.map((text) => make("th", { scope: "col", text: bare(text) || text })))),
    make("tbody", {}, ...layers.map(([name, tokens, probabilities]) => make("tr", {}, make("th", { scope: "row", text: name }), ...tokens.map((token, n) => cell(token, probabilities[n]))))));
}

export class InsidePanel extends Panel {
  async load(signal) {
    const views = await this.ask(null, signal);
    this.views = views;
    const place = make("div", { class: "insides" });
    this.body.replaceChildren(place);
    // each is drawn where it stands, as wide as there is room
    for (const [name, view] of Object.entries(views)) this.part(name, view, place);
    if (!place.children.length) place.append(make("p", { class: "note", text: t("inside.nothing") }));
  }

  part(name, view, among) {
    const title = t(`inside.${name}`);
    const told = make("p", { class: "note", "aria-live": "polite" });
    const place = make("div");
    const put = (shown) => place.replaceChildren(...FORMS[shown.form](shown, title, place.clientWidth, (text) => { told.textContent = text; }));
    const extra = [];
    if (view.others.length) {
      const select = make("select", { "aria-label": `${title}: ${t("where")}` });
      choices(select, [["", t("usual.place")], ...view.others.map((one) => [one, one])], "");
      select.addEventListener("change", async () => {
        try {
          const shown = await this.ask(name, this.controller?.signal, select.value ? { site: select.value } : {});
          put(shown);
        } catch (error) {
          if (error.name !== "AbortError") told.textContent = error.message;
        }
      });
      extra.push(make("div", { class: "controls" }, select));
    }
    among.append(make("section", { class: "inside", "aria-label": title }, make("h3", { text: title }), make("p", { class: "note", text: t(`inside.${name}.about`) }), ...extra, place, told));
    put(view);
  }
}
