// What is typed: texts or an image, and the numbers beside them; and where what is wrong with them is said.

import { field, make, tellField } from "./dom.js";
import { t, translated } from "./strings.js";

const MOST = 20000; // characters of a text

function textField({ name, label }, values, { changed, run }, live) {
  const input = make("textarea", { dir: "auto", spellcheck: "false", rows: 3, placeholder: t("type.here") });
  input.value = values[name] ?? "";
  input.addEventListener("input", () => {
    values[name] = input.value;
    changed(live);
    if ([...input.value].length > MOST) tellField(input, t("too.long", MOST.toLocaleString(document.documentElement.lang)));
  });
  input.addEventListener("keydown", (event) => { if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) { event.preventDefault(); run(); } });
  return [field(translated(label), input), input];
}

function imageField({ name, label }, values, { changed, run }) {
  const seen = make("img", { class: "preview", alt: t("image.yours") });
  const show = () => { seen.hidden = !values[name]; if (values[name]) seen.src = values[name]; };
  const input = make("input", { type: "file", accept: "image/*", onchange: () => {
    if (!input.files[0]) return;
    const reader = new FileReader();
    reader.addEventListener("load", () => { values[name] = reader.result; changed(false); show(); run(); });
    reader.readAsDataURL(input.files[0]);
  } });
  show();
  const whole = field(translated(label), input);
  whole.append(seen);
  return [whole, input];
}

function numberField({ name, label, least: min, most: max, step, default: preset }, values, { changed }) {
  const input = make("input", { type: "number", min, max, step, inputmode: "decimal", placeholder: t("as.the.run") });
  input.value = values[name] ?? preset ?? "";
  values[name] = input.value;
  input.addEventListener("input", () => { values[name] = input.value; changed(false); });
  return [field(translated(label), input), input];
}

// The fields of a model: `texts` and `numbers` to be shown, and every input `byName`.
export function makeInputs(page, values, does) {
  const byName = {};
  const texts = page.inputs.map((one) => {
    const [whole, input] = one.image ? imageField(one, values, does) : textField(one, values, does, page.live);
    byName[one.name] = input;
    return whole;
  });
  const numbers = page.options.map((one) => {
    const [whole, input] = numberField(one, values, does);
    byName[one.name] = input;
    return whole;
  });
  return { texts, numbers, byName };
}

// Says at each number that is out of its range what the range is; whether all are right.
export function markNumbers(page, { byName }) {
  const wrong = page.options.filter(({ name }) => !byName[name].checkValidity());
  for (const { name, least, most } of wrong) tellField(byName[name], t("range", least, most));
  if (wrong.length) {
    byName[wrong[0].name].closest("details").open = true;
    byName[wrong[0].name].focus();
  }
  return !wrong.length;
}

// The field that an error of the server is of, and what to say there; null where it is of none.
export function placeOf(error, { byName }) {
  if (![400, 413, 422].includes(error.status)) return null;
  const [, name, rest] = /^([a-z_]+)(?:\.\d+)*: ([^]*)$/.exec(error.message) ?? [];
  if (name === "model") return null;
  if (byName[name]) return { input: byName[name], text: rest };
  const [input] = Object.values(byName);
  return input ? { input, text: rest && ["texts", "inputs", "body"].includes(name) ? rest : error.message } : null;
}
