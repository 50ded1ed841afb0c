// The page of a draw: fetches its document, shows each step as it is recomputed, and looks up a box or a ticket.
import { hex, merklePath, verify } from "./verifier.js";

const ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz";
const PAUSE = 500;
const root = document.querySelector("[data-draw]");
const show = (element, text) => {
  element.textContent = text;
  element.hidden = text === "";
};

async function* linesOf(response) {
  const packed = response.body.pipeThrough(new DecompressionStream("gzip")).pipeThrough(new TextDecoderStream());
  const reader = packed.getReader();
  let rest = "";
  for (let part = await reader.read(); !part.done; part = await reader.read()) {
    const pieces = (rest + part.value).split("\n");
    rest = pieces.pop();
    yield* pieces;
  }
  if (rest) yield rest;
}

// The 16 bytes of an id, however it is written: as hexadecimal digits, or as box_… and tkt_….
const plainId = (typed) => {
  const text = typed.trim().toLowerCase();
  if (/^[0-9a-f]{32}$/.test(text)) return text;
  const digits = /^(?:box|tkt)_([0-9a-z]{26})$/.exec(text)?.[1];
  if (!digits || [...digits].some((digit) => !ALPHABET.includes(digit))) return null;
  const value = [...digits].reduce((sum, digit) => (sum << 5n) | BigInt(ALPHABET.indexOf(digit)), 0n);
  return value.toString(16).padStart(32, "0");
};

const describeBox = (found, id, texts) => {
  const entry = found.boxes.get(id);
  if (!entry) return [texts.unknown];
  const outcome = entry.outcome === null ? texts.lost : `${texts.won} ${entry.outcome}`;
  return [outcome, `${texts.opening} ${entry.k}`, `clientNonce ${entry.clientNonce}`, `logHash ${entry.logHash}`];
};

const describeTicket = (found, id, texts) => {
  const index = found.tickets.findIndex((ticket) => ticket.ticketId === id);
  if (index < 0) return [texts.unknown];
  const ticket = found.tickets[index];
  const line = found.lines.get(id);
  const place = found.places.find((it) => it.ticketId === id);
  const outcome = ticket.void ? texts.void : line ? `${texts.won} ${line}` : texts.lost;
  const path = merklePath(found.levels, index).map((it) => `${it.isLeft ? texts.left : texts.right} ${it.hash}`);
  return [
    outcome,
    `${texts.ticket} ${ticket.seq}`,
    ...(place ? [`${texts.place} ${place.place}`] : []),
    `${texts.leaf} ${hex(found.levels[0][index])}`,
    ...path,
    `ticketsRoot ${found.head.end}`,
  ];
};

const lookUp = (found) => {
  const form = root.querySelector("[data-look-up]");
  const list = root.querySelector("[data-found]");
  form.hidden = false;
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    const id = plainId(form.elements.id.value);
    const describe = found.boxes ? describeBox : describeTicket;
    const rows = id ? describe(found, id, root.dataset) : [root.dataset.unknown];
    list.replaceChildren(
      ...rows.map((row) => {
        const item = document.createElement("li");
        item.textContent = row;
        return item;
      }),
    );
  });
};

const note = (step, problem) => {
  const item = root.querySelector(`[data-step="${step}"]`);
  item.dataset.result = problem ? "failed" : "passed";
  show(item.querySelector("[data-word]"), problem ? root.dataset.failed : root.dataset.passed);
  show(item.querySelector("[data-why]"), problem || "");
};

const run = async () => {
  const bar = root.querySelector("progress");
  let shownAt = 0;
  const progress = (done, all) => {
    if (performance.now() - shownAt < PAUSE && done < all) return;
    shownAt = performance.now();
    bar.max = all || 1;
    bar.value = done;
  };
  const verdict = root.querySelector("[data-verdict]");
  try {
    const response = await fetch(root.dataset.document);
    if (!response.ok) throw new Error(`${response.status}`);
    const expected = { drawId: root.dataset.draw, commitment: root.dataset.commitment };
    const found = await verify(linesOf(response), { note, progress, expected });
    root.dataset.result = found ? "passed" : "failed";
    show(verdict, found ? root.dataset.holds : root.dataset.broken);
    if (found) lookUp(found);
  } catch (error) {
    root.dataset.result = "failed";
    show(verdict, `${root.dataset.unreadable} (${error.message})`);
  }
  bar.hidden = true;
};

if (root) run();
