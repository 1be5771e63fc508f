// Small helpers to make elements. Text from users and models only ever becomes text nodes.

const SVG = "http://www.w3.org/2000/svg";

function fill(one, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (name === "text") one.textContent = value;
    else if (name.startsWith("on")) one.addEventListener(name.slice(2), value);
    else if (value === true) one.setAttribute(name, "");
    else if (value !== false && value !== undefined && value !== null) one.setAttribute(name, value);
  }
  one.append(...children);
  return one;
}

export const make = (tag, attributes = {}, ...children) => fill(document.createElement(tag), attributes, children);

// The same of what a drawing consists of.
export const draw = (tag, attributes = {}, ...children) => fill(document.createElementNS(SVG, tag), attributes, children);

export const shade = (strength, colour = "--blue") =>
  `rgba(var(${colour}), ${Math.max(0, Math.min(1, strength)).toFixed(3)})`;

// The characters of a text from `start` to `stop`, as the server counts them: JavaScript counts an emoji as two.
export const characters = (text, start, stop) => [...text].slice(start, stop).join("");

// A piece as people read it: the mark of a space is shown by a gap.
export const bare = (piece) => (piece.startsWith("▁") ? piece.slice(1) : piece.replace(/^##/, ""));

export const percent = (logProbability) =>
  logProbability === null ? "–" : `${(100 * Math.exp(logProbability)).toFixed(1)} %`;

export function choices(select, pairs, chosen) {
  select.replaceChildren(...pairs.map(([value, text]) => make("option", { value, text })));
  select.value = chosen;
}

let fields = 0;
// A label and what it labels; what is wrong with the field is said beneath it (`tellField`).
export function field(label, input) {
  input.id = `field-${(fields += 1)}`;
  const told = make("p", { class: "field-told", id: `${input.id}-told`, role: "alert" });
  input.setAttribute("aria-describedby", told.id);
  return make("div", { class: "field" }, make("label", { for: input.id, text: label }), input, told);
}

export function tellField(input, text, wrong = true) {
  const told = document.getElementById(`${input.id}-told`);
  if (!told) return;
  told.textContent = text;
  told.classList.toggle("wrong", wrong && text !== "");
  if (wrong && text) input.setAttribute("aria-invalid", "true");
  else input.removeAttribute("aria-invalid");
}

let switches = 0;
// One of several, all of which are seen: radio buttons, so that arrow keys change it.
export function switcher(label, pairs, chosen, onChoose) {
  const name = `switch-${(switches += 1)}`;
  return make("div", { class: "switch", role: "radiogroup", "aria-label": label }, ...pairs.map(([value, text]) => {
    const input = make("input", { type: "radio", name, value, onchange: () => onChoose(value) });
    input.checked = value === chosen;
    return make("label", {}, input, make("span", { text }));
  }));
}

// A part of the page that scrolls by itself where it is too wide, by keyboard, too.
export const scroller = (label, ...children) => make("div", { class: "scroll", tabindex: "0", role: "group", "aria-label": label }, ...children);

// The place of an arrow key among so many, or null for another key.
export function arrow(event, at, count) {
  const to = { ArrowLeft: at - 1, ArrowUp: at - 1, ArrowRight: at + 1, ArrowDown: at + 1, Home: 0, End: count - 1 }[event.key];
  return to === undefined || to < 0 || to >= count ? null : to;
}

// Elements of which one is reached by Tab and the others by arrow keys.
export function roving(elements) {
  elements.forEach((one, number) => {
    one.tabIndex = number ? -1 : 0;
    one.addEventListener("keydown", (event) => {
      const to = arrow(event, number, elements.length);
      if (to === null) return;
      event.preventDefault();
      one.tabIndex = -1;
      elements[to].tabIndex = 0;
      elements[to].focus();
    });
  });
  return elements;
}
