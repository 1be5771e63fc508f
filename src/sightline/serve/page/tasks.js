// How each form of answer is asked for and shown; /v1/models says of every model which form its answers have, what is
// typed for it and the numbers beside it. Every form has run(column, asked), which asks and shows.

import { ask, events } from "./api.js";
import { bare, characters, make, percent, shade } from "./dom.js";

// One button for each token, shaded by how sure the model was.
export function tokenButtons(tokens, onLook, onPick) {
  return tokens.map(({ token, log_probability }, number) => {
    const spaced = number > 0 && token.startsWith("▁");
    const shown = bare(token);
    const one = make("button", {
      type: "button", class: spaced ? "token spaced" : "token", text: shown || "\u00a0",
      title: percent(log_probability), "aria-label": `${shown || "space"}, ${percent(log_probability)}`,
      onmouseenter: () => onLook?.(number), onfocus: () => onLook?.(number), onclick: () => onPick?.(number),
    });
    if (log_probability !== null) one.style.background = shade(0.45 * (1 - Math.exp(log_probability)), "--red");
    return one;
  });
}

function bars(pairs) {
  return make("div", { class: "bars" }, ...pairs.flatMap(([name, probability]) => {
    const filled = make("span");
    filled.style.width = `${(100 * probability).toFixed(1)}%`;
    return [make("span", { text: name }), make("span", { class: "bar" }, filled), make("span", { text: `${(100 * probability).toFixed(1)} %` })];
  }));
}

// Tokens of an answer with their alternatives, and what they looked at.
function showTokens(column, answer, rowOfToken, retry, begun = "") {
  const place = make("div", { class: "alternatives" });
  const buttons = tokenButtons(answer.tokens, (number) => column.sight.highlight(column.sight.rowOf(rowOfToken(number))),
    (number) => {
      const options = answer.candidates?.[number] ?? [];
      place.replaceChildren(...options.map((one) => make("button", {
        type: "button", text: `${one.text.trim() || one.token}  ${percent(one.log_probability)}`,
        // an end, or a part of a character, is nothing that a text can begin with
        disabled: !one.text.trim() || one.text.includes("\ufffd"),
        onclick: () => retry(number, one),
      })));
      place.querySelector("button:enabled")?.focus();
    });
  column.sight.onRow = (row, words) => buttons.forEach((one, number) =>
    one.classList.toggle("looked-from", column.sight.rowOf(rowOfToken(number)) === row));
  column.output.replaceChildren(make("div", { class: "tokens", role: "group", "aria-label": "tokens; darker where the model was less sure" }, begun, ...buttons));
  column.detail.replaceChildren(place, make("p", { class: "note", text: `log-probability ${answer.log_probability?.toFixed(2) ?? "–"} nats over ${answer.tokens.length} tokens${answer.finished ? "" : "; cut at the length limit"}` }));
}

// The text before a token.
const textBefore = (answer, number) => characters(answer.text, 0, answer.offsets[number]);

const translation = {
  async run(column, asked) {
    const prefix = column.begun;
    const body = { model: column.model.id, text: asked.text, stream: true, candidates: 5 };
    if (asked.beam) body.beam = Number(asked.beam);
    if (prefix) body.prefix = prefix;
    for await (const told of events("/v1/translate", body, column.signal)) {
      if (told.text !== undefined) column.output.textContent = told.text;
      if (told.done) await this.show(column, asked, told.done);
    }
  },
  async show(column, asked, answer) {
    showTokens(column, answer, (number) => number, (number, other) => {
      column.goOn(textBefore(answer, number) + other.text, (fresh) => this.run(fresh, asked));
    });
    if (answer.text) await column.sight.look({ text: asked.text, target: answer.text });
  },
};

const continuation = {
  async run(column, asked) {
    const more = column.begun;
    const body = { model: column.model.id, prompt: asked.prompt + more, candidates: 5, strategy: "sample" };
    for (const name of ["max_tokens", "temperature", "top_p", "seed"]) if (asked[name] !== "") body[name] = Number(asked[name]);
    let text = more;
    for await (const told of events("/v1/generate", body, column.signal)) {
      if (told.piece !== undefined) column.output.textContent = text += told.piece;
      if (told.done) await this.show(column, asked, told.done, more);
    }
  },
  async show(column, asked, answer, more) {
    const whole = asked.prompt + more + answer.text;
    let offset = 0;
    showTokens(column, answer, (number) => offset + number - 1, (number, other) => {
      column.goOn(more + textBefore(answer, number) + other.text, (fresh) => this.run(fresh, asked));
    }, more);
    // the model read the prompt, then what it wrote: rows of the matrix are all of it
    await column.sight.look({ text: whole });
    offset = (column.sight.found?.rows?.tokens.length ?? 0) - answer.tokens.filter(({ token }) => token !== "</s>").length + 1;
  },
};

const blanks = {
  async run(column, asked) {
    if (!asked.text.includes("[MASK]")) {
      column.output.textContent = asked.text;
      column.detail.replaceChildren(make("p", { class: "note", text: "Put [MASK] where something is missing." }));
      return;
    }
    const answer = await ask("/v1/fill", { model: column.model.id, text: asked.text, top: 8 }, column.signal);
    column.output.textContent = answer.best;
    column.detail.replaceChildren(...answer.blanks.flatMap((blank, number) => [
      make("h3", { text: `Blank ${number + 1}` }), bars(blank.map((one) => [bare(one.token) || one.token, one.probability]))]));
    await column.sight.look({ text: asked.text });
  },
};

const labels = {
  async run(column, asked) {
    const { model } = column;
    const texts = model.page.inputs.map(({ name }) => asked[name] ?? "");
    const given = model.image ? { image: asked.image } : { texts: [texts.length > 1 ? texts : texts[0]] };
    const { labels: [answer] } = await ask("/v1/classify", { model: model.id, ...given }, column.signal);
    column.output.textContent = answer.label;
    const sorted = Object.entries(answer.probabilities).sort((a, b) => b[1] - a[1]).slice(0, 10);
    column.detail.replaceChildren(bars(sorted));
    await column.sight.look(model.image ? { image: asked.image } : { text: texts });
  },
};

const spans = {
  async run(column, asked) {
    const { texts: [answer] } = await ask("/v1/tag", { model: column.model.id, text: asked.text }, column.signal);
    const parts = [];
    let at = 0;
    for (const span of answer.spans) {
      const mark = make("mark", { text: span.text });
      mark.append(make("sub", { text: ` ${span.kind}` }));
      parts.push(characters(answer.text, at, span.start), mark);
      at = span.end;
    }
    column.output.replaceChildren(...parts, characters(answer.text, at));
    await column.sight.look({ text: asked.text });
  },
};

const answer = {
  async run(column, asked) {
    const { question, context } = asked;
    const answer = await ask("/v1/answer", { model: column.model.id, question, context }, column.signal);
    column.output.textContent = answer.text || "The text does not say.";
    column.detail.replaceChildren(make("p", { class: "note", text: `probability ${(100 * answer.probability).toFixed(1)} %` }));
    await column.sight.look({ text: [question, context] });
  },
};

const text = {
  async run(column, asked) {
    const { predictions: [found] } = await ask("/v1/predict", { model: column.model.id, inputs: [asked.text] }, column.signal);
    column.output.textContent = found.text;
    await column.sight.look({ text: asked.text });
  },
};

export const FORMS = { text, translation, continuation, blanks, labels, spans, answer };
