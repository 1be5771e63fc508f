// The page: what is asked on the left, one column for each model that answers.

import { ask } from "./api.js";
import { choices, field, make } from "./dom.js";
import { Sight } from "./sight.js";
import { FORMS } from "./tasks.js";

const byId = (id) => document.getElementById(id);
const LIVE_AFTER = 350; // ms without a key before a text is sent by itself

class Column {
  constructor(model, chosen, remember) {
    Object.assign(this, { model, controller: null });
    this.output = make("div", { class: "output", dir: "auto", "aria-label": `what ${model.id} says`, role: "region" });
    this.detail = make("div");
    this.sight = new Sight(model, chosen, remember);
    const about = `${model.kind}, ${model.parameters.toLocaleString("en")} parameters${model.languages.length ? `, ${model.languages.join(" to ")}` : ""}`;
    this.root = make("section", { "aria-label": model.id }, make("h2", { text: model.id }), make("p", { class: "note", text: about }),
      this.output, this.detail, ...(model.verbs.includes("attention") ? [this.sight.root] : []));
    if (!model.verbs.includes("attention")) this.sight.look = async () => {};
  }

  clear() {
    this.controller?.abort();
    this.output.replaceChildren();
    this.detail.replaceChildren();
    this.sight.root.hidden = true;
  }

  get signal() { return this.controller.signal; }

  // What was chosen for the answer to begin with.
  get begun() { return String(this.sight.chosen.begun ?? ""); }

  // Answers again from a beginning, which a link restores.
  goOn(begun, work) {
    this.sight.chosen.begun = begun;
    this.sight.remember();
    return this.start(work);
  }

  // Runs something of this column's in place of whatever it was doing.
  async start(work) {
    this.controller?.abort();
    const mine = (this.controller = new AbortController());
    this.root.setAttribute("aria-busy", "true");
    try {
      await work(this);
    } catch (error) {
      if (error.name !== "AbortError") tell(error.message, true);
    } finally {
      if (mine === this.controller) this.root.removeAttribute("aria-busy");
    }
  }
}

const state = { models: [], columns: [], values: {}, chosen: [{}, {}] };

function tell(text, wrong = false) {
  byId("status").textContent = text;
  byId("status").classList.toggle("wrong", wrong);
}

const model = (id) => state.models.find((one) => one.id === id);
const page = () => model(byId("model").value).page;
const form = () => FORMS[page().answer];

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

function makeInputs() {
  const first = model(byId("model").value);
  const example = Object.fromEntries(page().inputs.map(({ name }, n) => [name, first.example[n] ?? ""]));
  byId("inputs").replaceChildren(...page().inputs.map(({ name, label, image }) => {
    const input = image ? make("input", { type: "file", accept: "image/*", onchange: () => readImage(input) })
      : make("textarea", { dir: "auto", maxlength: 20000, spellcheck: "false", placeholder: example[name] });
    if (!image) {
      input.value = state.values[name] ?? example[name];
      state.values[name] = input.value;
      input.addEventListener("input", () => { state.values[name] = input.value; later(); });
      input.addEventListener("keydown", (event) => { if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) run(); });
    }
    const one = field(label, input);
    one.classList.add("field");
    return one;
  }));
  byId("options").replaceChildren(...page().options.map(({ name, label, least: min, most: max, step, default: preset }) => {
    const usual = preset ?? "";
    const input = make("input", { type: "number", min, max, step, value: state.values[name] ?? usual, placeholder: "usual" });
    state.values[name] = input.value;
    input.addEventListener("input", () => { state.values[name] = input.value; });
    return field(label, input);
  }));
}

function readImage(input) {
  const reader = new FileReader();
  reader.addEventListener("load", () => { state.values.image = reader.result; run(); });
  if (input.files[0]) reader.readAsDataURL(input.files[0]);
}

function makeColumns() {
  const first = model(byId("model").value);
  const same = state.models.filter((one) => one.task === first.task && one.id !== first.id);
  const other = byId("other").value;
  choices(byId("other"), [["", "nothing"], ...same.map((one) => [one.id, one.id])], same.some((one) => one.id === other) ? other : "");
  byId("compare-field").hidden = !same.length;
  state.columns.forEach((column) => column.controller?.abort());
  const shown = [first, ...same.filter((one) => one.id === byId("other").value)];
  state.columns = shown.map((one, n) => new Column(one, state.chosen[n], remember));
  byId("columns").replaceChildren(...state.columns.map((column) => column.root));
}

let timer = 0;
function later() {
  clearTimeout(timer);
  if (page().live) timer = setTimeout(() => run(), LIVE_AFTER);
}

async function run(goingOn = false) {
  clearTimeout(timer);
  if (!goingOn) state.columns.forEach((column) => { delete column.sight.chosen.begun; });
  const asked = { ...state.values };
  const names = page().inputs.map(({ name }) => name);
  if (!names.some((name) => String(asked[name] ?? "").trim())) {
    state.columns.forEach((column) => column.clear());
    tell("");
    return;
  }
  remember();
  tell("…");
  byId("stop").disabled = false;
  const began = performance.now();
  const mine = (run.latest = {});
  await Promise.all(state.columns.map((column) => column.start((one) => form().run(one, asked))));
  if (mine !== run.latest) return;
  byId("stop").disabled = true;
  if (state.columns.some((column) => column.controller?.signal.aborted)) tell("stopped");
  else if (!byId("status").classList.contains("wrong")) tell(`done in ${((performance.now() - began) / 1000).toFixed(2)} s`);
}

function setTheme(dark) {
  document.documentElement.dataset.theme = dark ? "dark" : "light";
  byId("theme").textContent = dark ? "Light" : "Dark";
  byId("theme").setAttribute("aria-label", dark ? "light colours" : "dark colours");
}

// Shows what the address says; gives the models that it names and that are not served.
function restore() {
  const kept = restored();
  const names = Array.isArray(kept.models) ? kept.models.map(String) : [];
  const values = kept.values && typeof kept.values === "object" ? kept.values : {};
  state.values = Object.fromEntries(Object.entries(values).map(([name, value]) => [name, String(value)]));
  state.chosen = [0, 1].map((n) => ({ ...(Array.isArray(kept.chosen) ? kept.chosen[n] : {}) }));
  const [first, other] = names.map(model);
  choices(byId("model"), state.models.map((one) => [one.id, one.id]), first?.id ?? state.models[0].id);
  choices(byId("other"), [["", "nothing"], ...state.models.map((one) => [one.id, one.id])], other?.id ?? "");
  state.task = model(byId("model").value).task;
  makeColumns();
  makeInputs();
  return names.filter((name) => name && !model(name));
}

async function follow() {
  const missing = restore();
  await run(true);
  if (missing.length) tell(`the link names ${missing.join(" and ").slice(0, 200)}, which is not served here`, true);
}

async function begin() {
  setTheme(localStorage.getItem("sightline-dark") === "yes" ||
    (localStorage.getItem("sightline-dark") === null && matchMedia("(prefers-color-scheme: dark)").matches));
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
    const now = model(byId("model").value).task;
    if (now !== state.task) state.values = {}; // another task reads other things
    state.task = now;
    makeColumns();
    makeInputs();
    run();
  });
  byId("other").addEventListener("change", () => { state.chosen[1] = {}; makeColumns(); run(); });
  byId("form").addEventListener("submit", (event) => { event.preventDefault(); run(); });
  byId("stop").addEventListener("click", () => state.columns.forEach((column) => column.controller?.abort()));
  byId("link").addEventListener("click", async () => {
    remember();
    // the clipboard is only there on addresses that the browser trusts
    await Promise.resolve(navigator.clipboard?.writeText(location.href) ?? Promise.reject())
      .then(() => tell("link copied"), () => tell("the link is in the address bar"));
  });
  addEventListener("hashchange", follow);
  await follow();
}

begin();
