// How each form of answer is asked for and shown; /v1/models says of every model which form its answers have, what is
// typed for it and the numbers beside it. Every form has run(column, asked), which asks and shows.

import { ask, events } from "./api.js";
import { bare, characters, make, percent } from "./dom.js";
import { t } from "./strings.js";
import { forcedCount, measures, showWritten, textBefore } from "./written.js";

function bars(pairs) {
  return make("div", { class: "bars" }, ...pairs.flatMap(([name, probability]) => {
    const filled = make("span");
    filled.style.width = `${(100 * probability).toFixed(1)}%`;
    return [make("span", { text: name }), make("span", { class: "bar" }, filled), make("span", { class: "figure", text: `${(100 * probability).toFixed(1)} %` })];
  }));
}

// Of a text that was written the parts of a subject that the tab of steps asks for.
const steps = (answer, begun, goOn) => ({
  forcedSteps: () => forcedCount(answer, begun),
  candidates: (place, token) => (answer.tokens[place]?.token === token ? answer.candidates?.[place] : undefined),
  goOn,
});

// What was chosen to begin with, by the number of the sentence, as a link restores it.
const begunOf = (column) => (column.chosen.begun && typeof column.chosen.begun === "object" ? column.chosen.begun : {});

function forget(column, number, begun) {
  column.chosen.begun = { ...begunOf(column), [number]: begun };
  column.remember();
}

// What stands before each of some texts within the whole, and after the last.
function gaps(whole, texts) {
  let at = 0;
  const found = texts.map((text) => {
    const start = Math.max(at, whole.indexOf(text, at));
    const gap = whole.slice(at, start);
    at = start + text.length;
    return gap;
  });
  return [...found, whole.slice(at)];
}

const translation = {
  writes: true, // token by token

  body(column, asked, text, prefix) {
    const body = { model: column.model.id, text, candidates: 5, confidence: column.model.acceptable !== null };
    if (asked.beam) body.beam = Number(asked.beam);
    if (prefix) body.prefix = prefix;
    return body;
  },

  async run(column, asked) {
    let answer = null;
    for await (const told of events("/v1/translate", { ...this.body(column, asked, asked.text), stream: true }, column.signal)) {
      if (told.text !== undefined) column.output.textContent = told.text;
      if (told.done) answer = told.done;
    }
    const answers = answer.sentences.length ? [...answer.sentences] : [answer];
    const between = gaps(answer.text, answers.map((one) => one.text));
    for (const [number, begun] of Object.entries(begunOf(column))) {
      if (answers[number] && typeof begun === "string") answers[number] = await this.one(column, asked, answers[number].source, begun);
    }
    this.show(column, asked, answers, between);
  },

  // One sentence again, from a beginning.
  async one(column, asked, source, begun) {
    const { translations: [found] } = await ask("/v1/translate", { ...this.body(column, asked, source, begun), split: false }, column.signal);
    return found;
  },

  show(column, asked, answers, between) {
    column.answerText = between.map((gap, n) => gap + (answers[n]?.text ?? "")).join("");
    const pieces = answers.map((answer, number) => {
      const begun = begunOf(column)[number] ?? "";
      const goOn = (place, other) => {
        forget(column, number, textBefore(answer, place) + other.text);
        return column.start(async () => {
          const again = [...answers];
          again[number] = await this.one(column, asked, answer.source, begunOf(column)[number]);
          this.show(column, asked, again, between);
        });
      };
      const subject = { asked: { text: answer.source, target: answer.text }, rowOfToken: (token) => token, ...steps(answer, begun, goOn) };
      return { answer, begun, goOn, subject, source: answer.source };
    });
    measures(column, answers);
    // nothing is translated of a blank line
    const shown = pieces.filter(({ source }) => source.trim());
    showWritten(column, shown.length ? shown : pieces);
  },
};

const continuation = {
  writes: true,

  async run(column, asked) {
    const begun = begunOf(column)[0] ?? "";
    const body = { model: column.model.id, prompt: asked.prompt + begun, candidates: 5, strategy: "sample", confidence: column.model.acceptable !== null };
    for (const name of ["max_tokens", "temperature", "top_p", "seed"]) if (asked[name] !== "" && asked[name] !== undefined) body[name] = Number(asked[name]);
    const before = make("span", { class: "given", text: asked.prompt });
    let text = begun;
    for await (const told of events("/v1/generate", body, column.signal)) {
      if (told.piece !== undefined) column.output.replaceChildren(before, text += told.piece);
      if (told.done) this.show(column, asked, told.done, begun);
    }
  },

  show(column, asked, answer, begun) {
    column.answerText = asked.prompt + begun + answer.text;
    const written = answer.tokens.filter(({ token }) => token !== "</s>").length;
    const goOn = (place, other) => {
      forget(column, 0, begun + textBefore(answer, place) + other.text);
      return column.start(() => this.run(column, asked));
    };
    // the model read the prompt, then what it wrote: rows of the matrix are all of it
    const subject = {
      asked: { text: column.answerText }, ...steps(answer, "", goOn), firstStep: (count) => count - written,
      rowOfToken: (token) => (column.attention?.found?.rows.tokens.length ?? 0) - written + token,
    };
    measures(column, [answer]);
    showWritten(column, [{ answer, begun: "", goOn, subject, source: asked.prompt }], asked.prompt, begun);
  },
};

// A short answer, large, with what stands beneath it; then where the model looked.
function say(column, parts, text, detail, asked) {
  column.output.replaceChildren(...parts);
  column.answerText = text;
  column.copy.hidden = !text;
  column.detail.replaceChildren(...detail);
  column.measure.replaceChildren(make("span", { class: "figure", text: t("seconds", ((performance.now() - column.began) / 1000).toFixed(2)) }));
  if (column.attention) column.attention.onRow = null;
  column.look({ asked });
}

const blanks = {
  async run(column, asked) {
    const mask = "[MASK]";
    if (!asked.text.includes(mask)) {
      column.clear();
      column.output.textContent = asked.text;
      column.detail.replaceChildren(make("p", { class: "note", text: t("put.mask") }));
      return;
    }
    const answer = await ask("/v1/fill", { model: column.model.id, text: asked.text, top: 8 }, column.signal);
    say(column, [answer.best], answer.best, answer.blanks.flatMap((blank, number) => [
      make("h3", { text: t("blank.number", number + 1) }), bars(blank.map((one) => [bare(one.token) || one.token, one.probability]))]), { text: asked.text });
  },
};

const labels = {
  async run(column, asked) {
    const { model } = column;
    const texts = model.page.inputs.map(({ name }) => asked[name] ?? "");
    const given = model.image ? { image: asked.image } : { texts: [texts.length > 1 ? texts : texts[0]] };
    const { labels: [answer] } = await ask("/v1/classify", { model: model.id, ...given }, column.signal);
    const sorted = Object.entries(answer.probabilities).sort((a, b) => b[1] - a[1]).slice(0, 10);
    say(column, [answer.label], answer.label, [bars(sorted)], model.image ? { image: asked.image } : { text: texts });
  },
};

const spans = {
  async run(column, asked) {
    const { texts: [answer] } = await ask("/v1/tag", { model: column.model.id, text: asked.text }, column.signal);
    const parts = [];
    let at = 0;
    for (const span of answer.spans) {
      parts.push(characters(answer.text, at, span.start), make("mark", { text: span.text }), make("sub", { class: "kind", text: ` ${span.kind}` }));
      at = span.end;
    }
    say(column, [...parts, characters(answer.text, at)], answer.text, answer.spans.length ? [] : [make("p", { class: "note", text: t("no.spans") })], { text: asked.text });
  },
};

const answer = {
  async run(column, asked) {
    const { question, context } = asked;
    const found = await ask("/v1/answer", { model: column.model.id, question, context }, column.signal);
    say(column, [found.text || t("no.answer")], found.text, [make("p", { class: "note", text: t("probability", percent(Math.log(found.probability))) })], { text: [question, context] });
  },
};

const text = {
  async run(column, asked) {
    const { predictions: [found] } = await ask("/v1/predict", { model: column.model.id, inputs: [asked.text] }, column.signal);
    say(column, [found.text], found.text, [], { text: asked.text });
  },
};

export const FORMS = { text, translation, continuation, blanks, labels, spans, answer };
