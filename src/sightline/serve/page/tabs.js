// Tabs: one panel is shown at a time; arrow keys go from tab to tab (WAI-ARIA's pattern with automatic activation).

import { make, roving } from "./dom.js";

let made = 0;

export class Tabs {
  // `parts`: [name, label, root of the panel]; `onChoose` is told the name of the one that is shown.
  constructor(label, parts, chosen, onChoose) {
    Object.assign(this, { parts, onChoose });
    this.tabs = parts.map(([name, text]) => {
      const id = `tab-${(made += 1)}`;
      return make("button", { type: "button", role: "tab", id, "aria-controls": `${id}-panel`, text, "data-name": name,
        onclick: () => this.choose(name), onfocus: () => this.choose(name) });
    });
    this.panels = parts.map(([, , root], number) => make("div", { role: "tabpanel", id: `${this.tabs[number].id}-panel`,
      "aria-labelledby": this.tabs[number].id, tabindex: "0", class: "panel" }, root));
    this.root = make("div", { class: "tabbed" }, make("div", { role: "tablist", "aria-label": label }, ...roving(this.tabs)), ...this.panels);
    this.chosen = parts.some(([name]) => name === chosen) ? chosen : parts[0][0];
    this.mark();
  }

  choose(name) {
    if (name === this.chosen) return;
    this.chosen = name;
    this.mark();
    this.onChoose(name);
  }

  mark() {
    this.parts.forEach(([name], number) => {
      const on = name === this.chosen;
      this.tabs[number].setAttribute("aria-selected", String(on));
      this.tabs[number].tabIndex = on ? 0 : -1;
      this.panels[number].hidden = !on;
    });
  }
}
