// The pictures, each with what became of it.

import { address, remove } from "./server.js";

const STATES = { waiting: "waiting", colouring: "colouring …", done: "coloured" };

export class List {
  constructor({ onOpen, onProblem }) {
    Object.assign(this, { onOpen, onProblem });
    this.place = document.getElementById("list");
    this.template = document.getElementById("item");
    this.rows = new Map();
  }

  update(ids, changed) {
    const there = new Set(ids);
    for (const [id, row] of this.rows) {
      if (there.has(id)) continue;
      if (row.contains(document.activeElement)) {
        const beside = row.nextElementSibling ?? row.previousElementSibling;
        (beside?.querySelector(".open") ?? document.getElementById("add-pictures")).focus();
      }
      row.remove();
      this.rows.delete(id);
    }
    for (const picture of changed) this.show(picture);
    document.getElementById("none").hidden = ids.length > 0;
  }

  show(picture) {
    let row = this.rows.get(picture.id);
    if (!row) {
      row = this.template.content.cloneNode(true).firstElementChild;
      row.querySelector(".open").onclick = () => this.onOpen(picture.id);
      row.querySelector(".name").textContent = picture.name;
      const button = row.querySelector(".remove");
      button.setAttribute("aria-label", `Remove ${picture.name}`);
      button.onclick = () => remove(picture.id).catch((error) => this.onProblem(error.message));
      this.place.append(row);
      this.rows.set(picture.id, row);
    }
    const saved = picture.status === "done" && picture.saved ? `written: ${picture.target}` : "";
    const state = picture.status === "failed" ? picture.reason : STATES[picture.status];
    row.querySelector(".state").textContent = saved || state;
    row.classList.toggle("failed", picture.status === "failed");
    row.querySelector(".open").disabled = !picture.models.length;
    const image = row.querySelector("img");
    const model = shownModel(picture);
    if (model) {
      const source = address.small(picture, model, picture.saturation);
      if (image.getAttribute("src") !== source) image.setAttribute("src", source);
      image.width = picture.width;
      image.height = picture.height;
      image.hidden = false;
    }
  }

  mark(id) {
    for (const [other, row] of this.rows) {
      row.querySelector(".open").setAttribute("aria-current", String(other === id));
    }
  }

  focus(id) {
    this.rows.get(id)?.querySelector(".open").focus();
  }
}

// The model that is wanted, or, until it has coloured the picture, the last one that has.
export function shownModel(picture) {
  return picture.models.includes(picture.model) ? picture.model : picture.models.at(-1);
}
