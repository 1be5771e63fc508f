// A text that a model wrote: its tokens, how sure it was of each, what else might have stood there, a button to copy it.

import { bare, characters, make, percent, roving, shade } from "./dom.js";
import { legend, number } from "./legend.js";
import { t } from "./strings.js";

export async function copyText(text) {
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    // the clipboard is only there on addresses that the browser trusts
    const held = make("textarea", { class: "unseen", "aria-hidden": "true" });
    held.value = text;
    document.body.append(held);
    held.select();
    document.execCommand("copy");
    held.remove();
  }
}

export function copyButton(textOf) {
  const one = make("button", { type: "button", class: "copy", text: t("copy"), onclick: async () => {
    await copyText(textOf());
    one.textContent = t("copied");
    setTimeout(() => { one.textContent = t("copy"); }, 1500);
  } });
  return one;
}

// How many of the pieces lie within a beginning that was forced.
export const forcedCount = (answer, begun) => (begun ? answer.offsets?.filter((at) => at < [...begun].length).length ?? 0 : 0);

// The text before a token.
export const textBefore = (answer, place) => characters(answer.text, 0, answer.offsets[place]);

// The text as its tokens, each shaded by how unsure the model was of it. What is shown is the text to the letter: it can
// be selected and copied. `onLook` and `onPick` are told the number of a token.
function tokens(answer, begun, onLook, onPick) {
  const ends = answer.offsets ?? [];
  const forced = forcedCount(answer, begun);
  const shown = [];
  const parts = answer.tokens.slice(0, Math.max(0, ends.length - 1)).flatMap(({ log_probability }, place) => {
    // what is no whole character yet belongs to the last piece
    const text = characters(answer.text, ends[place], place + 2 < ends.length ? ends[place + 1] : undefined);
    if (!text) return [];
    const space = /^\s*/.exec(text)[0];
    const told = [percent(log_probability), ...(place < forced ? [t("forced")] : [])].join(", ");
    const pick = () => { if (getSelection().isCollapsed) onPick(place); };
    const one = make("span", {
      class: place < forced ? "token forced" : "token", role: "button", text: text.slice(space.length) || text, title: told, "data-at": place,
      "aria-label": `${text.trim() || t("space")}, ${told}`, onmouseenter: () => onLook(place), onfocus: () => onLook(place), onclick: pick,
      onkeydown: (event) => { if (event.key === "Enter" || event.key === " ") { event.preventDefault(); onPick(place); } },
    });
    if (log_probability !== null && place >= forced) one.style.backgroundColor = shade(0.45 * (1 - Math.exp(log_probability)), "--red");
    shown.push(one);
    return text.trim() ? [space, one] : [one];
  });
  roving(shown);
  return { parts, shown };
}

// How sure one can be of a text: calibrated where that was fitted, of several sentences that of the least sure; else the
// mean over the tokens. Nothing is said of blank lines.
function confidence(column, answers) {
  const written = answers.filter((one) => one.tokens.length);
  const told = written.map((one) => one.confidence).filter((one) => typeof one === "number");
  if (told.length === written.length && told.length) return { name: t("confidence"), title: t("confidence.means", number(column.model.acceptable)), value: Math.min(...told) };
  const all = written.flatMap((one) => one.tokens.map(({ log_probability }) => log_probability)).filter((one) => one !== null);
  return { name: t("mean.probability"), title: "", value: all.length ? Math.exp(all.reduce((sum, one) => sum + one, 0) / all.length) : null };
}

// The small line beneath: how sure, how long it took, whether it or what was given was cut.
export function measures(column, answers) {
  const { name, title, value } = confidence(column, answers);
  const filled = make("span");
  filled.style.width = `${(100 * (value ?? 0)).toFixed(1)}%`;
  const seconds = t("seconds", ((performance.now() - column.began) / 1000).toFixed(2));
  const cut = answers.some((one) => one.finished === false);
  const note = answers.map((one) => one.note).find(Boolean);
  column.measure.replaceChildren(make("span", { text: name, title }), make("span", { class: "bar small", "aria-hidden": "true" }, filled), make("span", { class: "figure", text: number(value) }),
    make("span", { class: "figure", text: seconds }), ...(cut ? [make("span", { text: t("cut") })] : []),
    ...(note ? [make("span", { text: t("prompt.cut"), title: note })] : []), legend(t("legend.unsure"), 1, { colour: "--red" }));
}

// Shows pieces of writing, one under the other: {answer, begun, subject, source, goOn(place, other)}; several stand beside
// what they are translations of. `before` is what the model was given to go on from, and `chosen` what was chosen after it.
export function showWritten(column, pieces, before = "", chosen = "") {
  const { attention } = column;
  let current = 0;
  const rows = pieces.map((piece, n) => {
    const pick = (place) => alternatives(column, piece, place);
    const look = (place) => {
      if (current === n) attention?.highlight(attention.rowOf(piece.subject.rowOfToken(place)));
    };
    const { parts, shown } = tokens(piece.answer, piece.begun, look, pick);
    piece.shown = shown;
    const text = make("div", { class: "tokens", role: "group", "aria-label": t("tokens.label"), dir: "auto" }, ...(before ? [make("span", { class: "given", text: before })] : []),
      ...(chosen ? [make("span", { class: "given forced", title: t("forced"), text: chosen })] : []), ...parts);
    if (!piece.answer.text) text.append(make("span", { class: "note", text: t("nothing.written") }));
    if (pieces.length === 1) return text;
    const source = make("button", { type: "button", class: "source", dir: "auto", text: piece.source, "aria-pressed": String(n === 0), title: t("sentence.look"), onclick: () => choose(n) });
    return make("div", { class: "sentence" }, source, text);
  });
  const choose = (n) => {
    current = n;
    rows.forEach((row, at) => row.querySelector(".source")?.setAttribute("aria-pressed", String(at === n)));
    if (attention) {
      attention.onRow = (row) => pieces[n].shown.forEach((one) => one.classList.toggle("looked-from",
        row !== null && row >= 0 && attention.rowOf(pieces[n].subject.rowOfToken(Number(one.dataset.at))) === row));
    }
    column.look(pieces[n].answer.text || before ? pieces[n].subject : null);
  };
  column.output.replaceChildren(...rows);
  column.detail.replaceChildren();
  column.copy.hidden = !pieces.some((one) => one.answer.text);
  choose(0);
}

// What else might stand in a token's place, to be gone on from.
function alternatives(column, piece, place) {
  const options = piece.answer.candidates?.[place] ?? [];
  const close = (event) => { if (event.key === "Escape") column.detail.replaceChildren(); };
  column.detail.replaceChildren(make("div", { class: "alternatives", role: "group", "aria-label": t("alternatives"), onkeydown: close },
    make("span", { class: "note", text: t("alternatives") }), ...options.map((one) => make("button", {
      type: "button", text: `${one.text.trim() || bare(one.token) || one.token}  ${percent(one.log_probability)}`,
      // an end, or a part of a character, is nothing that a text can begin with
      disabled: !one.text.trim() || one.text.includes("\ufffd"), onclick: () => { column.detail.replaceChildren(); piece.goOn(place, one); },
    }))));
  column.detail.querySelector("button:enabled")?.focus();
}
