// What happens on the page: files come in, the server is asked how far it is, and both are shown.

import { List } from "./list.js";
import { readState } from "./server.js";
import { chosen, dropped, Uploads } from "./uploads.js";
import { Viewer } from "./viewer.js";

const SOON = 300; // milliseconds to the next question
const LATER = 1500;
const SAID_EVERY = 5000; // to who listens instead of looking
const MOST_PROBLEMS = 50;
const get = (id) => document.getElementById(id);

const pictures = new Map();
const settings = { suffixes: [], mostBytes: Infinity };
let version = -1;
let timer = null;
let batch = null; // since when, and how many were done by then
let said = 0;

const uploads = new Uploads({ onChange: showProgress, onProblem: tell, onSent: () => poll() });
const list = new List({ onOpen: open, onProblem: tell });
const viewer = new Viewer({
  onStep: step,
  onClose: (id) => {
    list.mark(null);
    list.focus(id);
  },
  onProblem: tell,
  allIds: () => [...pictures.keys()],
});

function open(id) {
  const picture = pictures.get(id);
  if (!picture?.models.length) return;
  viewer.open(picture);
  list.mark(id);
}

function step(by) {
  const there = [...pictures.values()].filter((picture) => picture.models.length);
  const index = there.findIndex((picture) => picture.id === viewer.picture.id);
  open(there[(index + by + there.length) % there.length].id);
}

function tell(problem) {
  const row = document.createElement("li");
  row.textContent = problem;
  get("problems").append(row);
  get("problems").hidden = false;
  if (get("problems").children.length > MOST_PROBLEMS) get("problems").firstChild.remove();
}

async function poll() {
  clearTimeout(timer);
  const asked = performance.now();
  try {
    take(await readState(version), asked);
  } catch {
    get("where").textContent = "kh page has ended. Start it again, and use the new address.";
  }
  clearTimeout(timer); // of a call that came between
  timer = setTimeout(poll, uploads.left || left() ? SOON : LATER);
}

function take(state, asked) {
  if (state.choices) {
    viewer.offer(state.choices);
    settings.suffixes = state.suffixes;
    settings.mostBytes = state.most_bytes;
    get("where").textContent =
      "Drop pictures or folders anywhere on this page. They stay on this machine." +
      (state.output ? ` What is coloured is written into ${state.output}.` : "");
  }
  if (state.version < version) return; // overtaken by a later answer
  version = state.version;
  const there = new Set(state.ids);
  for (const id of pictures.keys()) if (!there.has(id)) pictures.delete(id);
  for (const picture of state.pictures) pictures.set(picture.id, picture);
  list.update(state.ids, state.pictures);
  if (viewer.picture) {
    const viewed = pictures.get(viewer.picture.id);
    if (!viewed) viewer.close();
    else if (viewed !== viewer.picture) viewer.update(viewed, asked);
  }
  showProgress();
}

function left() {
  return count("waiting") + count("colouring");
}

function count(status) {
  return [...pictures.values()].filter((picture) => picture.status === status).length;
}

function showProgress() {
  const [done, failed, toDo] = [count("done"), count("failed"), left() + uploads.left];
  const downloads = [...pictures.values()].filter((picture) => picture.models.length).length;
  get("download-all").hidden = !downloads;
  get("download-all").textContent = `Download all (${downloads})`;
  if (toDo && !batch) batch = { since: Date.now(), before: done + failed };
  const ended = !toDo && batch;
  let text = `${done} coloured` + (failed ? `, ${failed} failed` : "");
  if (toDo) {
    const now = done + failed - batch.before;
    text = `${now} of ${now + toDo}` + (failed ? `, ${failed} failed` : "") + timeLeft(now, toDo);
    get("progress").querySelector("progress").value = (now + uploads.part / 4) / (now + toDo);
  } else {
    batch = null;
  }
  get("progress").hidden = !toDo;
  get("progress").querySelector("span").textContent = text;
  if (ended || (toDo && Date.now() - said > SAID_EVERY)) {
    said = Date.now();
    get("status").textContent = text;
  }
}

function timeLeft(now, toDo) {
  if (now < 2) return "";
  const seconds = (((Date.now() - batch.since) / now) * toDo) / 1000;
  return seconds < 90 ? `, ${Math.ceil(seconds)} s left` : `, ${Math.ceil(seconds / 60)} min left`;
}

for (const [button, input] of [["add-pictures", "pictures"], ["add-folder", "folder"]]) {
  get(button).onclick = () => get(input).click();
  get(input).onchange = () => {
    uploads.add(chosen(get(input)), settings);
    get(input).value = ""; // so that the same file can be chosen again
  };
}
document.ondragover = (event) => {
  event.preventDefault();
  document.body.classList.add("dropping");
};
document.ondragleave = (event) => {
  if (!event.relatedTarget) document.body.classList.remove("dropping");
};
document.ondrop = async (event) => {
  event.preventDefault();
  document.body.classList.remove("dropping");
  try {
    uploads.add(await dropped(event.dataTransfer), settings);
  } catch (error) {
    tell(`can't be read: ${error.message}`);
  }
};
poll();
