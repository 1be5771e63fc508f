// The tab of what mattered: what an output loses without each position, beside what was looked at, on one axis.

import { ask } from "./api.js";
import { bare, choices, make, roving, scroller } from "./dom.js";
import { largest, legend, number } from "./legend.js";
import { grid } from "./matrix.js";
import { Panel } from "./panel.js";
import { t } from "./strings.js";

const MOST_CELLS = 10000;

// The rank correlation in words.
function inWords(agreement) {
  if (typeof agreement !== "number") return t("agreement.none");
  const kind = agreement < 0 ? "against" : agreement < 0.3 ? "little" : agreement < 0.6 ? "partly" : "well";
  return t(`agreement.${kind}`, agreement.toFixed(2));
}

// How positions are occluded; a user's own task may have a word of its own for it.
function taken(participle) {
  const name = `taken.${participle}`;
  return t(name) === name ? participle : t(name);
}

export class MatteredPanel extends Panel {
  async load(signal) {
    const { site, head } = this.chosen;
    this.found = await ask("/v1/attention", this.request({ check: true, ...(site && this.model.attends ? { site: head ? `${site}:${head}` : site } : {}) }), signal);
    if (!this.found.occlusion) {
      this.body.replaceChildren(make("p", { class: "note", text: t("mattered.nothing") }));
      return;
    }
    this.build();
  }

  build() {
    const { found } = this;
    const outputs = found.outputs.map((one) => bare(one) || one);
    const select = make("select", { "aria-label": t("output"), onchange: () => this.draw(Number(select.value)) });
    choices(select, outputs.map((text, n) => [String(n), text]), "0");
    this.place = make("div");
    const shown = { title: t("mattered"), rows: outputs, columns: found.read.tokens.map((one) => bare(one) || one), values: found.occlusion.values };
    const most = largest(shown.values);
    const large = shown.rows.length * shown.columns.length > MOST_CELLS;
    const whole = grid(shown, { most, colour: "--orange", tell: (text) => this.tell(text), room: this.body.clientWidth });
    this.body.replaceChildren(
      make("p", { class: "verdict", text: this.model.attends ? inWords(found.agreement) : t("agreement.no.attention") }),
      make("p", { class: "note", text: t("mattered.about", taken(found.occlusion.taken)) }),
      make("div", { class: "controls" }, make("label", {}, `${t("output")} `, select)), this.place,
      make("details", {}, make("summary", { text: t("mattered.all") }), scroller(t("mattered.all"), large ? t("too.large") : whole.root),
        legend(t("legend.occlusion"), most, { signed: true, colour: "--orange" }), this.told));
    this.draw(0);
  }

  draw(output) {
    const { occlusion, output_weights: weights, read } = this.found;
    const losses = occlusion.values[output], looked = weights?.[output];
    const [most, widest] = [largest([losses]), looked ? largest([looked]) : 1];
    const rods = read.tokens.map((token, n) => {
      const name = bare(token) || token;
      const about = `${name}: ${looked ? `${t("attention")} ${number(looked[n])}, ` : ""}${t("occlusion")} ${losses[n] === null ? t("not.taken") : number(losses[n])}`;
      const bar = (value, scale, kind) => {
        const filled = make("span", { class: `rod-fill ${kind}` });
        filled.style.height = `${Math.min(100, (100 * Math.abs(value ?? 0)) / scale).toFixed(1)}%`;
        return make("span", { class: "rod-bar" }, filled);
      };
      const pair = make("span", { class: "rod-pair" }, ...(looked ? [bar(looked[n], widest, "")] : []), bar(losses[n], most, losses[n] < 0 ? "lost negative" : "lost"));
      const one = make("div", { class: "rod", role: "img", "aria-label": about, title: about }, pair, make("span", { class: "rod-name", text: name }),
        ...(looked ? [make("span", { class: "rod-number", text: number(looked[n]) })] : []), make("span", { class: "rod-number soft", text: number(losses[n]) }));
      return one;
    });
    this.place.replaceChildren(scroller(t("mattered"), make("div", { class: "rods" }, ...roving(rods))),
      ...(looked ? [legend(t("legend.attention"), widest)] : []), legend(t("legend.occlusion"), most, { colour: "--orange" }));
  }
}
