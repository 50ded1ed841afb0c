// Lets the scanner's page open without connection, as it was last seen: the page itself, its style and its scripts.
const SHELF = "cohort-scan";
const isKept = (request) => {
  const { origin, pathname } = new URL(request.url);
  if (request.method !== "GET" || origin !== self.location.origin) return false;
  if (request.mode === "navigate") return pathname === "/scan";
  return pathname.startsWith("/static/") || pathname === "/space/brand.css";
};

const newest = async (request) => {
  const shelf = await caches.open(SHELF);
  try {
    const response = await fetch(request);
    if (response.ok) await shelf.put(request, response.clone());
    return response;
  } catch (error) {
    const kept = await shelf.match(request, { ignoreVary: true });
    if (kept) return kept;
    throw error;
  }
};

self.addEventListener("install", () => self.skipWaiting());
self.addEventListener("activate", (event) => event.waitUntil(self.clients.claim()));
self.addEventListener("fetch", (event) => {
  if (isKept(event.request)) event.respondWith(newest(event.request));
});
