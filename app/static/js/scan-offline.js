// Going on without connection: signed codes alone, checked with cached keys, each once, sent later with their times.
(() => {
  const LIFE = 90;
  const EARLY = 30;
  const KEPT = 8 * 86400;
  const AT_ONCE = 100;
  const SHOWN = 10;
  const MEMBERS = { h: "h,j,k,m,t,v", n: "j,k,m,n,t,v" };
  let opened;
  let terms = null; // what the server said last: keys, merchant, the difference of the clocks

  const wrap = (request) =>
    new Promise((resolve, reject) => {
      request.onsuccess = () => resolve(request.result);
      request.onerror = () => reject(request.error);
    });
  const open = () => {
    const request = indexedDB.open("cohort-scan", 1);
    request.onupgradeneeded = () => {
      request.result.createObjectStore("terms");
      request.result.createObjectStore("queue", { keyPath: "id" });
      request.result.createObjectStore("accepted", { keyPath: "j" });
    };
    return wrap(request);
  };
  const stores = async (names, mode = "readonly") => {
    opened = opened || (await open());
    return opened.transaction(names, mode);
  };
  const done = (transaction) =>
    new Promise((resolve, reject) => {
      transaction.oncomplete = resolve;
      transaction.onabort = () => reject(transaction.error);
    });

  const bytes = (text) => {
    if (!/^[A-Za-z0-9_-]+$/.test(text)) throw new Error("alphabet");
    const decoded = Uint8Array.from(atob(text.replaceAll("-", "+").replaceAll("_", "/")), (c) => c.charCodeAt(0));
    if (spell(decoded) !== text) throw new Error("spelling");
    return decoded;
  };
  const spell = (data) =>
    btoa(String.fromCharCode(...data)).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");

  // The claims of a code that is genuine and of now; anything else throws.
  const check = async (text) => {
    const parts = text.trim().split("/v/").pop().split(".");
    if (parts.length !== 2) throw new Error("unsigned");
    const [payload, signature] = parts.map(bytes);
    const written = new TextDecoder("utf-8", { fatal: true }).decode(payload);
    const claims = JSON.parse(written);
    const names = Object.keys(claims).sort();
    const sorted = JSON.stringify(Object.fromEntries(names.map((name) => [name, claims[name]])));
    if (names.join() !== MEMBERS["h" in claims ? "h" : "n"] || sorted !== written) throw new Error("malformed");
    if (claims.v !== 1 || claims.m !== terms.merchant || !Number.isInteger(claims.t)) throw new Error("malformed");
    const known = terms.keys.find((key) => key.kid === claims.k);
    if (!known) throw new Error("unknown key");
    const key = await crypto.subtle.importKey("jwk", { kty: known.kty, crv: known.crv, x: known.x }, "Ed25519", false, ["verify"]);
    if (!(await crypto.subtle.verify("Ed25519", key, signature, payload))) throw new Error("forged");
    const now = Date.now() / 1000 + terms.ahead;
    if (now > claims.t + LIFE || now < claims.t - EARLY) throw new Error("time");
    return { claims, token: parts.join("."), scannedAt: new Date(now * 1000).toISOString() };
  };

  // Which template says what became of the text; an accepted code is in the queue when this ends.
  const judge = async (text) => {
    if (!terms || !terms.allowed) return "offline-never";
    try {
      const { claims, token, scannedAt } = await check(text);
      const transaction = await stores(["accepted", "queue"], "readwrite");
      // Adding refuses a second time: both stand in one transaction, so a code is queued once.
      transaction.objectStore("accepted").add({ j: claims.j, until: claims.t + KEPT });
      transaction.objectStore("queue").add({ id: crypto.randomUUID(), token, scannedAt, j: claims.j });
      await done(transaction);
    } catch {
      return "offline-refused";
    }
    await report();
    return "offline-accepted";
  };

  // What nobody tried to send is unknown to the server: taken back, it never happened, and its code is new again.
  const undo = async (id) => {
    const transaction = await stores(["accepted", "queue"], "readwrite");
    const queue = transaction.objectStore("queue");
    const item = await wrap(queue.get(id));
    const isOurs = Boolean(item && !item.tried);
    if (isOurs) {
      queue.delete(id);
      transaction.objectStore("accepted").delete(item.j);
    }
    await done(transaction);
    await report();
    return isOurs ? "offline-undone" : "offline-sent";
  };

  const list = (items) => {
    const rows = items.map((item) => {
      const row = document.getElementById("offline-row").content.cloneNode(true);
      const time = row.querySelector("time");
      time.dateTime = item.scannedAt;
      time.textContent = new Date(item.scannedAt).toLocaleTimeString(document.documentElement.lang);
      row.querySelector("[data-offline-undo]").dataset.offlineUndo = item.id;
      return row;
    });
    document.querySelector("[data-offline-list]").replaceChildren(...rows);
  };

  const report = async () => {
    const box = document.querySelector("[data-offline]");
    const items = await wrap((await stores(["queue"])).objectStore("queue").getAll());
    const count = items.length;
    const fresh = items.filter((item) => !item.tried).sort((a, b) => (a.scannedAt < b.scannedAt ? 1 : -1));
    list(fresh.slice(0, SHOWN));
    box.hidden = !(terms && terms.allowed) && count === 0;
    box.querySelector("[data-offline-waiting]").hidden = count === 0;
    box.querySelector("[data-offline-count]").textContent = count;
    return count;
  };

  // Marked before it leaves: the answer may be lost, and then nobody knows whether the server took it.
  const take = async () => {
    const transaction = await stores(["queue"], "readwrite");
    const queue = transaction.objectStore("queue");
    const items = await wrap(queue.getAll(null, AT_ONCE));
    for (const item of items) queue.put({ ...item, tried: true });
    await done(transaction);
    return items.map(({ id, token, scannedAt }) => ({ id, token, scannedAt }));
  };

  const send = async () => {
    const items = await take();
    await report();
    if (items.length === 0) return;
    const token = document.querySelector('meta[name="csrf-token"]').content;
    const headers = { "Content-Type": "application/json", "X-CSRF-Token": token };
    const response = await fetch("/scan/sync", { method: "POST", headers, body: JSON.stringify({ items }) });
    if (!response.ok) return;
    const judged = (await response.json()).items;
    const transaction = await stores(["queue"], "readwrite");
    for (const item of judged) transaction.objectStore("queue").delete(item.id);
    await done(transaction);
    judged.filter((item) => item.outcome !== "accepted").forEach(tell);
    document.body.dispatchEvent(new Event("validated"));
    if ((await report()) > 0) await send();
  };

  const tell = (item) => {
    const list = document.querySelector("[data-offline-conflicts]");
    const row = document.createElement("li");
    row.textContent = `${list.dataset.conflictText}: ${item.reason}`;
    list.append(row);
  };

  const canVerify = async (key) => {
    try {
      await crypto.subtle.importKey("jwk", { kty: "OKP", crv: "Ed25519", x: key }, "Ed25519", false, ["verify"]);
      return true;
    } catch {
      return false;
    }
  };

  // Whether the server answered: without connection nothing is sent, nor marked as if it had been.
  const fetchTerms = async () => {
    const response = await fetch("/scan/offline", { headers: { Accept: "application/json" } });
    if (!response.ok) return false;
    const said = await response.json();
    terms = { ...said, ahead: Date.parse(said.now) / 1000 - Date.now() / 1000 };
    const transaction = await stores(["terms"], "readwrite");
    transaction.objectStore("terms").put(terms, "last");
    await done(transaction);
    return true;
  };

  const forget = async () => {
    const transaction = await stores(["accepted"], "readwrite");
    const old = transaction.objectStore("accepted");
    for (const row of await wrap(old.getAll())) if (row.until < Date.now() / 1000) old.delete(row.j);
    await done(transaction);
  };

  const refresh = async () => {
    const box = document.querySelector("[data-offline]");
    if (!box) return;
    terms = terms || (await wrap((await stores(["terms"])).objectStore("terms").get("last"))) || null;
    const isConnected = await fetchTerms().catch(() => false);
    const isAble = Boolean(terms && terms.allowed && terms.keys.length) && (await canVerify(terms.keys[0].x));
    if (terms && terms.allowed && !isAble) terms.allowed = false;
    box.querySelector("[data-offline-ready]").hidden = !isAble;
    box.querySelector("[data-offline-refused]").hidden = isAble || !(terms && terms.keys.length);
    window.cohortOffline = { judge, undo };
    await report();
    if (terms && terms.keys.length && !isAble) box.hidden = false;
    if (isConnected) await send().catch(() => null);
    await forget();
  };

  // The page opens without connection where devices may go on; what it needs for that is fetched once more.
  const keepPage = async () => {
    if (!navigator.serviceWorker || !terms || !terms.allowed) return;
    await navigator.serviceWorker.register("/scan/worker.js", { scope: "/scan" });
    await navigator.serviceWorker.ready;
    const shelf = await caches.open("cohort-scan");
    const parts = [...document.querySelectorAll("script[src], link[rel=stylesheet]")].map((part) => part.src || part.href);
    await shelf.addAll(["/scan", ...parts]);
    document.body.dataset.kept = "yes";
  };

  document.addEventListener("DOMContentLoaded", () => {
    if (!window.indexedDB || !window.crypto || !crypto.subtle) return;
    refresh().then(keepPage);
    window.addEventListener("online", refresh);
    setInterval(refresh, 30000);
  });
})();
