// An image with a veil that is thinner where it was looked at: by rollout, or by a row of the matrix.

import { make } from "./dom.js";
import { legend } from "./legend.js";
import { t } from "./strings.js";

export class Veil {
  constructor() {
    this.canvas = make("canvas", { role: "img", "aria-label": t("image.veil") });
    this.root = make("div", { class: "veil" });
  }

  async paint(found, row = null) {
    const mine = (this.latest = {});
    const picture = new Image();
    picture.src = `data:image/png;base64,${found.image.png}`;
    await picture.decode();
    if (mine !== this.latest) return;
    const side = found.image.rollout.length;
    const looked = row === null || !found.weights[row] ? found.image.rollout.flat() : found.weights[row].slice(1);
    const most = Math.max(...looked, 1e-9), scale = Math.ceil(224 / picture.naturalWidth);
    const { canvas } = this;
    [canvas.width, canvas.height] = [picture.naturalWidth * scale, picture.naturalHeight * scale];
    const context = canvas.getContext("2d");
    context.imageSmoothingEnabled = false;
    context.drawImage(picture, 0, 0, canvas.width, canvas.height);
    const patch = canvas.width / side;
    looked.forEach((weight, n) => {
      context.fillStyle = `rgba(20, 40, 90, ${(0.75 * (1 - weight / most)).toFixed(3)})`;
      context.fillRect((n % side) * patch, Math.floor(n / side) * patch, patch, patch);
    });
    this.root.replaceChildren(canvas, make("p", { class: "note", text: row === null ? t("veil.rollout") : t("veil.row") }), legend(t("legend.patch"), most));
  }
}
