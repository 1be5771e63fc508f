// The API as a page, from the server's own OpenAPI description.

import { ask } from "./api.js";
import { make } from "./dom.js";

const api = await ask("/openapi.json");
const resolve = (schema) => (schema?.$ref ? api.components.schemas[schema.$ref.split("/").pop()] : schema ?? {});

function kind(schema) {
  const one = resolve(schema);
  const options = one.anyOf ?? one.oneOf;
  if (options) return [...new Set(options.map(kind))].join(" or ");
  if (one.enum) return one.enum.map((value) => JSON.stringify(value)).join(" or ");
  if (one.type === "array") return `list of ${kind(one.items)}`;
  return one.type ?? "anything";
}

function limits(schema) {
  const one = resolve(schema);
  const named = { minimum: "≥", exclusiveMinimum: ">", maximum: "≤", exclusiveMaximum: "<", maxLength: "characters ≤", maxItems: "at most" };
  return Object.entries(named).filter(([key]) => one[key] !== undefined).map(([key, sign]) => `${sign} ${one[key]}`).join(", ");
}

function fields(schema) {
  const { properties = {}, required = [] } = resolve(schema);
  const rows = Object.entries(properties).map(([name, one]) => make("tr", {},
    make("th", { scope: "row" }, make("code", { text: name })),
    make("td", { text: `${kind(one)}${limits(one) ? ` (${limits(one)})` : ""}` }),
    make("td", { text: required.includes(name) ? "needed" : `usually ${JSON.stringify(one.default ?? null)}` }),
    make("td", { text: one.description ?? "" })));
  return make("div", { class: "scroll", tabindex: "0", role: "group", "aria-label": "fields" }, make("table", {}, make("tbody", {}, ...rows)));
}

const parts = Object.entries(api.paths).flatMap(([path, verbs]) => Object.entries(verbs).map(([verb, about]) => {
  const schema = about.requestBody && Object.values(about.requestBody.content)[0].schema;
  const example = schema ? `curl ${location.origin}${path} -H 'content-type: application/json' -d '{…}'` : `curl ${location.origin}${path}`;
  return make("section", {}, make("h2", { text: `${verb.toUpperCase()} ${path}` }), make("p", { text: about.description ?? about.summary }),
    ...(schema ? [fields(schema)] : []), make("pre", { tabindex: "0" }, make("code", { text: example })));
}));
document.getElementById("docs").replaceChildren(make("p", { text: api.info.description }), ...parts);
