// What the page asks of the server. Addresses are relative: the token is in that of the page.

async function ask(address, options) {
  const answer = await fetch(address, options);
  if (!answer.ok) throw new Error((await answer.text()) || answer.statusText);
  return answer;
}

export async function readState(since) {
  return (await ask(`state?since=${since}`)).json();
}

export async function choose(ids, model, saturation) {
  await ask("settings", { method: "POST", body: JSON.stringify({ ids, model, saturation }) });
}

export async function remove(id) {
  await ask(`pictures/${id}`, { method: "DELETE" });
}

export async function readPicture(address) {
  return (await ask(address)).blob();
}

// A file is sent with XMLHttpRequest, which says how far it is.
export function send(file, name, onProgress) {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    request.upload.onprogress = (event) => onProgress(event.loaded);
    request.onload = () =>
      request.status === 201 ? resolve() : reject(new Error(request.responseText));
    request.onerror = () => reject(new Error("could not be sent"));
    request.open("PUT", `pictures?name=${encodeURIComponent(name)}`);
    request.send(file);
  });
}

export const address = {
  small: (picture, model, saturation) =>
    `pictures/${picture.id}/small?${settings(model, saturation)}`,
  color: (picture, level, model, saturation) =>
    `pictures/${picture.id}/color?level=${level}&${settings(model, saturation)}`,
  gray: (picture, level, model) =>
    `pictures/${picture.id}/gray?level=${level}&${settings(model, 0)}`,
  file: (picture) => `pictures/${picture.id}/file`,
};

function settings(model, saturation) {
  return new URLSearchParams({ model, saturation });
}
