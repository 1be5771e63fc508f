// Small helpers to make elements. Text from users and models only ever becomes text nodes.

export function make(tag, attributes = {}, ...children) {
  const one = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name === "text") one.textContent = value;
    else if (name.startsWith("on")) one.addEventListener(name.slice(2), value);
    else if (value === true) one.setAttribute(name, "");
    else if (value !== false && value !== undefined && value !== null) one.setAttribute(name, value);
  }
  one.append(...children);
  return one;
}

export const shade = (strength, colour = "--blue") =>
  `rgba(var(${colour}), ${Math.max(0, Math.min(1, strength)).toFixed(3)})`;

// The characters of a text from `start` to `stop`, as the server counts them: JavaScript counts an emoji as two.
export const characters = (text, start, stop) => [...text].slice(start, stop).join("");

// A piece as people read it: the mark of a space is shown by a gap.
export const bare = (piece) => (piece.startsWith("▁") ? piece.slice(1) : piece.replace(/^##/, ""));

export const percent = (logProbability) =>
  logProbability === null ? "no probability" : `${(100 * Math.exp(logProbability)).toFixed(1)} %`;

export function field(label, control) {
  const id = `field-${Math.random().toString(36).slice(2)}`;
  control.id = id;
  return make("div", {}, make("label", { for: id, text: label }), control);
}

export function choices(select, names, chosen) {
  select.replaceChildren(...names.map(([value, text]) => make("option", { value, text, selected: value === chosen })));
}
