// Keeps the files of the page: after the first visit it needs no network.
const kept = KEPT;

self.addEventListener("install", (event) => {
  self.skipWaiting();
  event.waitUntil(caches.open(kept.version).then((cache) => cache.addAll(kept.files)));
});
self.addEventListener("activate", (event) => {
  event.waitUntil(
    (async () => {
      for (const name of await caches.keys()) if (name !== kept.version) await caches.delete(name);
      await self.clients.claim();
    })(),
  );
});
self.addEventListener("fetch", (event) => {
  event.respondWith(caches.match(event.request).then((found) => found || fetch(event.request)));
});
