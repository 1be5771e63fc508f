// The page: what is asked above, one column for each model that answers.

import { ask } from "./api.js";
import { FORMS } from "./answers.js";
import { Column } from "./column.js";
import { choices, make, switcher, tellField } from "./dom.js";
import { makeInputs, markNumbers, placeOf } from "./inputs.js";
import { LANGUAGES, preferred, setLanguage, t } from "./strings.js";
import { copyText } from "./written.js";

const byId = (id) => document.getElementById(id);
const LIVE_AFTER = 300; // ms without a key before a text is sent by itself

const state = { models: [], columns: [], values: {}, chosen: [{}, {}], inputs: {} };

function tell(text, wrong = false) {
  byId("status").textContent = text;
  byId("status").classList.toggle("wrong", wrong);
}

// Where the work on the columns is: busy, done, stopped, wrong or blank.
const mark = (what) => { byId("columns").dataset.state = what; };

const model = (id) => state.models.find((one) => one.id === id);
const first = () => model(byId("model").value);
const form = () => FORMS[first().page.answer];

// What columns ask of the page.
const forColumns = {
  // What was wrong stands at the field that it is of, where it is of one.
  fail(error) {
    mark("wrong");
    const found = placeOf(error, state.inputs);
    if (found) tellField(found.input, found.text);
    else tell(error.message, true);
  },
  exampleButtons: (one) => examplesOf(one).map((example) => exampleButton(example)),
};

// What a link restores: models, what was typed, and what each column shows.
function remember() {
  const { image, ...values } = state.values;
  const kept = { models: [byId("model").value, byId("other").value], values, chosen: state.chosen };
  history.replaceState(null, "", `#${encodeURIComponent(JSON.stringify(kept))}`);
}

function restored() {
  try {
    return JSON.parse(decodeURIComponent(location.hash.slice(1))) ?? {};
  } catch {
    return {};
  }
}

// What could be typed for a model, a value by the name of each input: what its run keeps, or what its task has.
function examplesOf(one) {
  const names = one.page.inputs.map(({ name }) => name);
  const kept = names.map((_, n) => one.example[n] ?? "");
  const usual = one.page.inputs.map(({ example }) => example ?? "");
  const found = [kept, usual].filter((values) => values.every((value) => value.trim())).slice(0, 1);
  return found.map((values) => Object.fromEntries(names.map((name, n) => [name, values[n]])));
}

function exampleButton(values) {
  const short = Object.entries(values).map(([name, value]) => (name === "image" ? t("example.image") : value)).join(" / ");
  const text = [...short].length > 60 ? `${[...short].slice(0, 59).join("")}…` : short;
  return make("button", { type: "button", class: "example", text, dir: "auto", "aria-label": `${t("example")}: ${text}`, onclick: () => {
    Object.assign(state.values, values);
    buildInputs();
    run();
  } });
}

function buildInputs() {
  const one = first();
  const [example] = examplesOf(one);
  for (const { name } of one.page.inputs) state.values[name] ??= example?.[name] ?? "";
  const changed = (live) => { age(); offer(); if (live) later(); };
  state.inputs = makeInputs(one.page, state.values, { changed, run: () => run() });
  byId("inputs").replaceChildren(...state.inputs.texts);
  byId("options").replaceChildren(...state.inputs.numbers);
  byId("options-part").hidden = !state.inputs.numbers.length;
  byId("examples").replaceChildren(...examplesOf(one).map(exampleButton));
  byId("run").textContent = t(`run.${one.page.answer}`);
  offer();
}

// An example is offered while it is not what is typed already.
function offer() {
  const [example] = examplesOf(first());
  byId("examples").hidden = Object.entries(example ?? {}).every(([name, value]) => state.values[name] === value);
}

// What was said of the last answer is not of what is typed now.
function age() {
  tell("");
  for (const input of Object.values(state.inputs.byName)) tellField(input, "");
  state.columns.forEach((column) => column.age());
}

function makeColumns() {
  const same = state.models.filter((one) => one.task === first().task && one.id !== first().id);
  const other = byId("other").value;
  choices(byId("other"), [["", t("none")], ...same.map((one) => [one.id, one.id])], same.some((one) => one.id === other) ? other : "");
  byId("compare-field").hidden = !same.length;
  state.columns.forEach((column) => column.controller?.abort());
  const shown = [first(), ...same.filter((one) => one.id === byId("other").value)];
  state.columns = shown.map((one, n) => new Column(one, state.chosen[n], remember, forColumns));
  byId("columns").replaceChildren(...state.columns.map((column) => column.root));
}

let timer = 0;
function later() {
  clearTimeout(timer);
  if (first().page.live) timer = setTimeout(() => run(), LIVE_AFTER);
}

async function run(goingOn = false) {
  clearTimeout(timer);
  if (!goingOn) state.columns.forEach((column) => { delete column.chosen.begun; });
  const asked = { ...state.values };
  const names = first().page.inputs.map(({ name }) => name);
  age();
  if (!markNumbers(first().page, state.inputs)) return mark("wrong");
  if (!names.some((name) => String(asked[name] ?? "").trim())) {
    state.columns.forEach((column) => column.clear());
    tellField(state.inputs.byName[names[0]], t("blank"), false);
    return mark("blank");
  }
  remember();
  mark("busy");
  tell(t("working"));
  byId("stop").disabled = false;
  const mine = (run.latest = {});
  await Promise.all(state.columns.map((column) => column.start((one) => form().run(one, asked))));
  if (mine !== run.latest) return;
  byId("stop").disabled = true;
  if (state.columns.some((column) => column.controller?.signal.aborted && byId("columns").dataset.state === "busy")) {
    mark("stopped");
    tell(t("stopped"));
  } else if (byId("columns").dataset.state === "busy") {
    mark("done");
    tell("");
  } else if (!byId("status").classList.contains("wrong")) tell("");
}

function setTheme(dark) {
  document.documentElement.dataset.theme = dark ? "dark" : "light";
  byId("theme").textContent = dark ? t("light") : t("dark");
  byId("theme").setAttribute("aria-label", dark ? t("light.colours") : t("dark.colours"));
}

// All words of the page in one language.
function speak(code) {
  setLanguage(code);
  document.documentElement.lang = code;
  for (const one of document.querySelectorAll("[data-text]")) one.textContent = t(one.dataset.text);
  for (const one of document.querySelectorAll("[data-label]")) one.setAttribute("aria-label", t(one.dataset.label));
  byId("languages").replaceChildren(switcher(t("language.choice"), LANGUAGES, code, (chosen) => {
    localStorage.setItem("sightline-language", chosen);
    speak(chosen);
    byId("languages").querySelector(":checked").focus();
    if (!state.models.length) return;
    makeColumns();
    buildInputs();
    run(true);
  }));
  setTheme(document.documentElement.dataset.theme === "dark");
}

// Shows what the address says; gives the models that it names and that are not served.
function restore() {
  const kept = restored();
  const names = Array.isArray(kept.models) ? kept.models.map(String) : [];
  const values = kept.values && typeof kept.values === "object" ? kept.values : {};
  state.values = Object.fromEntries(Object.entries(values).map(([name, value]) => [name, String(value)]));
  state.chosen = [0, 1].map((n) => ({ ...(Array.isArray(kept.chosen) ? kept.chosen[n] : {}) }));
  const [one, other] = names.map(model);
  choices(byId("model"), state.models.map(({ id }) => [id, id]), one?.id ?? state.models[0].id);
  choices(byId("other"), [["", t("none")], ...state.models.map(({ id }) => [id, id])], other?.id ?? "");
  state.task = first().task;
  makeColumns();
  buildInputs();
  return names.filter((name) => name && !model(name));
}

async function follow() {
  const missing = restore();
  await run(true);
  if (missing.length) tell(t("not.served", missing.join(", ").slice(0, 200)), true);
}

async function begin() {
  const kept = localStorage.getItem("sightline-dark");
  document.documentElement.dataset.theme = kept === "yes" || (kept === null && matchMedia("(prefers-color-scheme: dark)").matches) ? "dark" : "light";
  speak(preferred());
  byId("theme").addEventListener("click", () => {
    const dark = document.documentElement.dataset.theme !== "dark";
    localStorage.setItem("sightline-dark", dark ? "yes" : "no");
    setTheme(dark);
  });
  try {
    state.models = (await ask("/v1/models")).data;
  } catch (error) {
    tell(error.message, true);
    return;
  }
  byId("model").addEventListener("change", () => {
    state.chosen = [{}, {}];
    const now = first().task;
    if (now !== state.task) state.values = {}; // another task reads other things
    state.task = now;
    makeColumns();
    buildInputs();
    run();
  });
  byId("other").addEventListener("change", () => { state.chosen[1] = {}; makeColumns(); run(true); });
  byId("form").addEventListener("submit", (event) => { event.preventDefault(); run(); });
  byId("stop").addEventListener("click", () => state.columns.forEach((column) => column.controller?.abort()));
  byId("link").addEventListener("click", async () => {
    remember();
    await copyText(location.href);
    tell(t("link.copied"));
  });
  addEventListener("hashchange", follow);
  await follow();
}

begin();
