// Files and folders that are chosen or dropped, sent one after the other: so they keep their order.

import { send } from "./server.js";

export class Uploads {
  constructor({ onChange, onProblem, onSent }) {
    Object.assign(this, { onChange, onProblem, onSent });
    this.waiting = [];
    this.sending = false;
    this.part = 0; // of the file that is being sent
  }

  get left() {
    return this.waiting.length + this.sending;
  }

  // `found`: files with their paths. Of folders only pictures are taken, as by `kh colorize`.
  add(found, { suffixes, mostBytes }) {
    let passed = 0;
    for (const { file, path, inFolder } of found.sort((a, b) => (a.path < b.path ? -1 : 1))) {
      const name = path.toWellFormed ? path.toWellFormed() : path;
      if (inFolder && !isPicture(name, suffixes)) passed += 1;
      else if (file.size > mostBytes) this.onProblem(`${name}: too large`);
      else this.waiting.push({ file, name });
    }
    if (passed) this.onProblem(`${passed} passed over: no pictures, by their names`);
    if (!this.sending) this.sendAll();
    this.onChange();
  }

  async sendAll() {
    this.sending = true;
    while (this.waiting.length) {
      const { file, name } = this.waiting.shift();
      try {
        await send(file, name, (bytes) => {
          this.part = bytes / (file.size || 1);
          this.onChange();
        });
      } catch (error) {
        this.onProblem(`${name}: ${error.message}`);
      }
      this.part = 0;
      this.sending = this.waiting.length > 0;
      this.onSent();
    }
  }
}

export function chosen(input) {
  return [...input.files].map((file) => ({
    file,
    path: file.webkitRelativePath || file.name,
    inFolder: Boolean(file.webkitRelativePath),
  }));
}

export async function dropped(transfer) {
  // All are asked for before the first wait: after it the list is empty.
  const entries = [...transfer.items].map((item) => item.webkitGetAsEntry?.()).filter(Boolean);
  const found = [];
  for (const entry of entries) await walk(entry, false, found);
  return found;
}

async function walk(entry, inFolder, found) {
  if (entry.isFile) {
    const file = await new Promise((resolve, reject) => entry.file(resolve, reject));
    found.push({ file, path: entry.fullPath.replace(/^\//, ""), inFolder });
    return;
  }
  const reader = entry.createReader();
  for (;;) {
    const some = await new Promise((resolve, reject) => reader.readEntries(resolve, reject));
    if (!some.length) return;
    for (const one of some) await walk(one, true, found);
  }
}

function isPicture(path, suffixes) {
  const parts = path.split("/");
  const name = parts.at(-1).toLowerCase();
  const hidden = parts.some((part) => part.startsWith("."));
  return !hidden && suffixes.some((suffix) => name.endsWith(suffix));
}
