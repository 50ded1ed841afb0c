// A live code goes on without connection: from the reserve of the page, for ten minutes after the last answer.
(() => {
  const STEP = 30;
  const GRACE = 3; // the answer that replaces the code may take as long
  const LONGEST = 600;
  const BORDER = 4;
  let ahead = 0; // seconds that the server's clock is ahead of this one
  let answered = 0;
  const now = () => Date.now() / 1000 + ahead;

  const path = (size, bits) => {
    const bytes = atob(bits);
    let drawn = "";
    for (let y = 0; y < size; y += 1) {
      for (let x = 0; x < size; x += 1) {
        const place = y * size + x;
        if ((bytes.charCodeAt(place >> 3) >> (7 - (place & 7))) & 1) drawn += `M${x + BORDER} ${y + BORDER}h1v1h-1z`;
      }
    }
    return drawn;
  };

  const show = (box, code) => {
    const side = Number(code.dataset.size) + 2 * BORDER;
    const svg = box.querySelector("svg");
    svg.setAttribute("viewBox", `0 0 ${side} ${side}`);
    svg.querySelector("rect").setAttribute("width", side);
    svg.querySelector("rect").setAttribute("height", side);
    svg.querySelector("path").setAttribute("d", path(Number(code.dataset.size), code.dataset.bits));
    box.dataset.from = code.dataset.from;
  };

  const lose = (box, isLost) => {
    box.classList.toggle("is-lost", isLost);
    box.querySelector(".live-code-lost").hidden = !isLost;
  };

  const tick = () => {
    const box = document.getElementById("live-code");
    if (!box || now() < Number(box.dataset.from) + STEP + GRACE) return;
    const reserve = document.querySelectorAll("#code-reserve [data-from]");
    const isCurrent = (code) => now() >= Number(code.dataset.from) && now() < Number(code.dataset.from) + STEP;
    const next = now() - answered <= LONGEST ? [...reserve].find(isCurrent) : undefined;
    if (next) show(box, next);
    lose(box, !next);
  };

  const arrive = () => {
    const box = document.getElementById("live-code");
    if (!box || box.dataset.known) return;
    box.dataset.known = "yes";
    ahead = Number(box.dataset.from) - Date.now() / 1000;
    answered = now();
  };

  const wake = () => {
    if (document.hidden || !window.htmx) return;
    for (const id of ["live-code", "code-reserve"]) {
      const element = document.getElementById(id);
      if (element) window.htmx.trigger(element, "wake");
    }
  };

  document.addEventListener("DOMContentLoaded", arrive);
  document.addEventListener("htmx:load", arrive);
  document.addEventListener("visibilitychange", wake);
  window.addEventListener("online", wake);
  setInterval(tick, 1000);
})();
