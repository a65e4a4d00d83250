// One picture: grey and coloured on both sides of a line, enlarged, its colours changed.

import { address, choose, readPicture } from "./server.js";
import { shownModel } from "./list.js";

const STEP = Math.SQRT2;
const MOST_ENLARGED = 4; // screen pixels to a pixel of the picture
const get = (id) => document.getElementById(id);

// An image that shows the last of the addresses asked for, one request at a time.
class Layer {
  constructor(image, onProblem) {
    Object.assign(this, { image, onProblem, wanted: null, shown: null, busy: false });
  }

  async show(wanted) {
    this.wanted = wanted;
    if (this.busy) return;
    this.busy = true;
    while (this.wanted && this.wanted !== this.shown) {
      const next = this.wanted;
      try {
        const source = URL.createObjectURL(await readPicture(next));
        const ready = new Image();
        ready.src = source;
        await ready.decode();
        const old = this.image.src;
        this.image.src = source;
        this.image.hidden = this.wanted === null;
        URL.revokeObjectURL(old);
      } catch (error) {
        if (this.wanted === next) this.onProblem(error.message);
      }
      this.shown = next;
    }
    this.busy = false;
  }

  clear() {
    this.wanted = this.shown = null;
    this.image.hidden = true;
  }
}

export class Viewer {
  constructor({ onStep, onClose, onProblem, allIds }) {
    this.allIds = allIds;
    this.picture = null;
    this.at = 0.5;
    this.zoom = 1;
    this.unsent = 0;
    this.changed = 0; // when the controls were, last
    this.frame = get("frame");
    this.stage = get("stage");
    this.sheet = get("sheet");
    this.color = new Layer(get("color"), onProblem);
    this.gray = new Layer(get("gray"), onProblem);
    this.onProblem = onProblem;
    get("previous").onclick = () => onStep(-1);
    get("next").onclick = () => onStep(1);
    get("close").onclick = () => {
      const { id } = this.picture;
      this.close();
      onClose(id);
    };
    get("divide").oninput = (event) => this.divide(event.target.value / 100);
    get("saturation").oninput = () => {
      this.changed = performance.now();
      this.colors();
    };
    get("saturation").onchange = () => this.send([this.picture.id]);
    get("model").onchange = () => this.send([this.picture.id]);
    get("for-all").onclick = () => this.send(this.allIds());
    get("smaller").onclick = () => this.zoomTo(this.zoom / STEP);
    get("larger").onclick = () => this.zoomTo(this.zoom * STEP);
    get("fit").onclick = () => this.zoomTo(1);
    this.stage.onscroll = () => this.draw();
    this.stage.onkeydown = (event) => this.key(event);
    this.stage.addEventListener("wheel", (event) => this.wheel(event), { passive: false });
    this.stage.ondblclick = (event) => this.zoomTo(this.zoom > 1 ? 1 : this.natural(), event);
    this.listenToDrags();
    this.listenToPinches();
    window.addEventListener("resize", () => this.picture && this.layout());
  }

  offer(choices) {
    get("model").replaceChildren(...choices.map((choice) => new Option(choice)));
  }

  open(picture) {
    get("viewer").hidden = false;
    this.color.clear();
    this.gray.clear();
    this.picture = picture;
    this.zoom = 1;
    get("title").textContent = picture.name;
    get("color").alt = `${picture.name}, coloured`;
    get("gray").alt = `${picture.name}, grey`;
    get("download").href = address.file(picture);
    this.color.show(address.small(picture, shownModel(picture), picture.saturation));
    this.sync();
    this.update(picture, 0);
    this.divide(this.at);
    get("title").focus();
    get("viewer").scrollIntoView({ block: "nearest" });
  }

  close() {
    this.picture = null;
    this.color.clear();
    this.gray.clear();
    get("viewer").hidden = true;
  }

  sync() {
    get("saturation").value = this.picture.saturation;
    get("model").value = this.picture.model;
  }

  // What was asked for before the controls were changed is older than they are.
  update(picture, asked) {
    this.picture = picture;
    if (!this.unsent && asked > this.changed && !get("saturation").matches(":active")) this.sync();
    const waits = picture.status === "waiting" || picture.status === "colouring";
    const facts = [`${picture.width} × ${picture.height}`, ...picture.notes];
    if (waits) facts.push("colouring …");
    if (picture.status === "failed") facts.push(picture.reason);
    if (picture.saved && !waits) facts.push(`written: ${picture.target}`);
    if (get("facts").textContent !== facts.join(" · ")) get("facts").textContent = facts.join(" · ");
    this.layout();
  }

  async send(ids) {
    const saturation = Number(get("saturation").value);
    this.unsent += 1;
    try {
      await choose(ids, get("model").value, saturation);
    } catch (error) {
      this.onProblem(error.message);
    }
    this.unsent -= 1;
    this.changed = performance.now();
  }

  // The sizes at which the whole picture fits.
  fitted() {
    const { width, height } = this.picture;
    const room = this.frame.parentElement.clientWidth;
    const most = Math.max(240, window.innerHeight * 0.7);
    const scale = Math.min(room / width, most / height);
    return { room, most, wide: width * scale, high: height * scale };
  }

  // Where a pixel of the picture is one of the screen; at least twice.
  natural() {
    return Math.max(2, this.picture.width / this.fitted().wide / window.devicePixelRatio);
  }

  layout() {
    const { room, most, wide, high } = this.fitted();
    this.frame.style.width = `${Math.min(room, wide * this.zoom)}px`;
    this.frame.style.height = `${Math.min(most, high * this.zoom)}px`;
    this.sheet.style.width = `${wide * this.zoom}px`;
    this.sheet.style.height = `${high * this.zoom}px`;
    this.frame.classList.toggle("zoomed", this.zoom > 1);
    const pixels = (wide * this.zoom * window.devicePixelRatio) / this.picture.width;
    get("zoom").value = `${Math.round(pixels * 100)} %`;
    // Half the size so often that what is shown is not enlarged.
    const halved = Math.floor(Math.log2(1 / pixels));
    this.level = Math.max(this.picture.least, Math.min(16, halved));
    this.colors();
    this.gray.show(address.gray(this.picture, this.level, shownModel(this.picture)));
    this.draw();
  }

  colors() {
    const saturation = Number(get("saturation").value);
    get("strength").value = saturation.toFixed(2);
    const model = shownModel(this.picture);
    this.color.show(address.color(this.picture, this.level, model, saturation));
  }

  // `at` is a part of what is seen, so that the line is seen too when the picture is enlarged.
  divide(at) {
    this.at = Math.min(1, Math.max(0, at));
    get("divide").value = Math.round(this.at * 100);
    get("divide").setAttribute("aria-valuetext", `${Math.round(this.at * 100)} % grey`);
    this.draw();
  }

  draw() {
    const line = this.at * this.stage.clientWidth;
    get("handle").style.left = `${line}px`;
    const x = this.stage.scrollLeft + line;
    get("gray").style.clipPath = `inset(0 calc(100% - ${x}px) 0 0)`;
  }

  // The place under `event`, or the middle, stays where it is.
  zoomTo(zoom, event) {
    const { wide } = this.fitted();
    const most = Math.max(2, (this.picture.width * MOST_ENLARGED) / wide / window.devicePixelRatio);
    const before = this.zoom;
    const box = this.stage.getBoundingClientRect();
    const x = event ? event.clientX - box.left : box.width / 2;
    const y = event ? event.clientY - box.top : box.height / 2;
    const { scrollLeft, scrollTop } = this.stage;
    this.zoom = Math.min(most, Math.max(1, zoom));
    this.layout();
    const after = this.stage.getBoundingClientRect();
    const factor = this.zoom / before;
    this.stage.scrollLeft = (scrollLeft + x) * factor - x - (box.left - after.left);
    this.stage.scrollTop = (scrollTop + y) * factor - y - (box.top - after.top);
    this.draw();
  }

  key(event) {
    const wanted = { "+": this.zoom * STEP, "=": this.zoom * STEP, "-": this.zoom / STEP, 0: 1 };
    if (event.ctrlKey || event.metaKey || event.altKey || !(event.key in wanted)) return;
    event.preventDefault();
    this.zoomTo(wanted[event.key]);
  }

  wheel(event) {
    if (!event.ctrlKey) return; // so is a pinch on a touchpad
    event.preventDefault();
    this.zoomTo(this.zoom * 2 ** (-event.deltaY / 200), event);
  }

  // The line is dragged, or, by a mouse beside it, the enlarged picture. Fingers scroll by themselves.
  listenToDrags() {
    let drag = null;
    this.frame.onpointerdown = (event) => {
      if (event.button || event.target === this.stage) return; // its scroll bars
      const line = event.target === get("handle") || this.zoom === 1;
      if (!line && event.pointerType !== "mouse") return;
      this.frame.setPointerCapture(event.pointerId);
      const { scrollLeft, scrollTop } = this.stage;
      drag = { line, x: scrollLeft + event.clientX, y: scrollTop + event.clientY };
      if (line) this.divide(this.place(event));
    };
    this.frame.onpointermove = (event) => {
      if (!drag) return;
      if (drag.line) {
        this.divide(this.place(event));
        return;
      }
      this.stage.scrollTo(drag.x - event.clientX, drag.y - event.clientY);
    };
    this.frame.onpointerup = this.frame.onpointercancel = () => {
      drag = null;
    };
  }

  place(event) {
    const box = this.stage.getBoundingClientRect();
    return (event.clientX - box.left) / this.stage.clientWidth;
  }

  listenToPinches() {
    let pinch = null;
    const measure = ([one, other]) => ({
      apart: Math.hypot(one.clientX - other.clientX, one.clientY - other.clientY),
      clientX: (one.clientX + other.clientX) / 2,
      clientY: (one.clientY + other.clientY) / 2,
    });
    this.frame.addEventListener("touchstart", (event) => {
      pinch = event.touches.length === 2 ? { ...measure(event.touches), zoom: this.zoom } : null;
    });
    const move = (event) => {
      if (!pinch || event.touches.length !== 2) return;
      event.preventDefault();
      const now = measure(event.touches);
      this.zoomTo((pinch.zoom * now.apart) / pinch.apart, now);
    };
    this.frame.addEventListener("touchmove", move, { passive: false });
    this.frame.addEventListener("touchend", () => {
      pinch = null;
    });
  }
}
