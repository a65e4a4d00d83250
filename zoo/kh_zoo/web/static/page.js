const MOST = 12e6; // pixels: what a phone has the memory for
const $ = (id) => document.getElementById(id);
const say = (text) => ($("status").textContent = text);
const worker = new Worker("colorize.js", { type: "module" });
let shown = null; // the picture: its name, size and pixels
let asked = 0;

if ("serviceWorker" in navigator) navigator.serviceWorker.register("offline.js").catch(() => {});

worker.onerror = (event) => say(`The colours can't be loaded: ${event.message || "no reason given"}`);
worker.onmessage = ({ data }) => {
  if (data.ready) return say("Ready.");
  if (data.error) return say(`It could not be coloured: ${data.error}`);
  if (data.id !== asked) return; // another one was asked for in the meantime
  const { width, height } = shown;
  $("after").getContext("2d").putImageData(new ImageData(data.rgba, width, height), 0, 0);
  $("result").hidden = false;
  offer();
  say(`Coloured. ${shown.note}`);
};

async function open(file) {
  say("Reading the picture …");
  let bitmap;
  try {
    bitmap = await createImageBitmap(file); // turned as its EXIF says, in sRGB
  } catch {
    return say(`${file.name} is no picture that this browser can read.`);
  }
  const scale = Math.min(1, Math.sqrt(MOST / (bitmap.width * bitmap.height)));
  const [width, height] = [bitmap.width, bitmap.height].map((side) => Math.max(1, Math.floor(side * scale)));
  const note = scale < 1 ? `It was reduced from ${bitmap.width} x ${bitmap.height} to ${width} x ${height} pixels.` : "";
  for (const id of ["before", "after"]) Object.assign($(id), { width, height });
  const context = $("before").getContext("2d", { willReadFrequently: true });
  context.drawImage(bitmap, 0, 0, width, height);
  bitmap.close();
  const rgba = context.getImageData(0, 0, width, height).data;
  shown = { name: file.name, width, height, rgba, note };
  color();
}

function color() {
  say("Colouring …");
  const { rgba, width, height } = shown;
  worker.postMessage({ id: ++asked, rgba, width, height, saturation: Number($("saturation").value) });
}

function offer() {
  const stem = shown.name.replace(/\.[^.]*$/, "");
  const png = /\.png$/i.test(shown.name);
  $("after").toBlob(
    (blob) => {
      URL.revokeObjectURL($("save").href);
      $("save").href = URL.createObjectURL(blob);
      $("save").download = `${stem}.color.${png ? "png" : "jpg"}`;
    },
    png ? "image/png" : "image/jpeg",
    0.92,
  );
}

function split(percent) {
  $("split").value = percent;
  $("split").setAttribute("aria-valuetext", `${Math.round(percent)} % as it was`);
  $("before").style.clipPath = `inset(0 ${100 - percent}% 0 0)`;
}

$("file").onchange = (event) => event.target.files[0] && open(event.target.files[0]);
$("split").oninput = (event) => split(event.target.value);
$("saturation").oninput = (event) => ($("factor").textContent = Number(event.target.value).toFixed(1));
$("saturation").onchange = color;
for (const kind of ["pointerdown", "pointermove"]) {
  document.querySelector(".pair").addEventListener(kind, (event) => {
    if (!event.buttons) return;
    const box = event.currentTarget.getBoundingClientRect();
    split(Math.min(100, Math.max(0, ((event.clientX - box.left) / box.width) * 100)));
  });
}
for (const [kind, over] of [["dragover", true], ["dragleave", false], ["drop", false]]) {
  $("drop").addEventListener(kind, (event) => {
    event.preventDefault();
    $("drop").classList.toggle("over", over);
    if (kind === "drop" && event.dataTransfer.files[0]) open(event.dataTransfer.files[0]);
  });
}
split(0);
