// Recomputes a published draw with nothing but the browser's own cryptography. It shares the document with the
// server and no code: docs/draws.md describes both.

const encoder = new TextEncoder();
const ZEROS = "00".repeat(32);
const BEACON_SECONDS = 60;

export const bytes = (hex) => Uint8Array.from(hex.match(/../g) || [], (pair) => parseInt(pair, 16));
export const hex = (data) => Array.from(data, (byte) => byte.toString(16).padStart(2, "0")).join("");

const join = (...parts) => {
  const whole = new Uint8Array(parts.reduce((length, part) => length + part.length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
};

const number = (size) => (value) => {
  const data = new DataView(new ArrayBuffer(size));
  if (size === 8) data.setBigUint64(0, BigInt(value));
  else data.setUint32(0, value);
  return new Uint8Array(data.buffer);
};
const uint32 = number(4);
const uint64 = number(8);

const sha256 = async (...parts) => new Uint8Array(await crypto.subtle.digest("SHA-256", join(...parts)));
const hmacKey = (raw) => crypto.subtle.importKey("raw", raw, { name: "HMAC", hash: "SHA-256" }, false, ["sign"]);
const hmac = async (key, message) => new Uint8Array(await crypto.subtle.sign("HMAC", key, message));
const named = (name) => encoder.encode(`draw-v1/${name}\0`);

// A step that does not hold; whatever would follow means nothing.
class Failure extends Error {
  constructor(step, sentence) {
    super(sentence);
    this.step = step;
  }
}

const demand = (step, holds, sentence) => {
  if (!holds) throw new Failure(step, sentence);
};

// RFC 8785: JSON.stringify spells values as it demands, so only the order of names is left to do.
export const canonical = (value) => {
  if (Array.isArray(value)) return `[${value.map(canonical).join(",")}]`;
  if (value === null || typeof value !== "object") return JSON.stringify(value);
  const names = Object.keys(value).sort();
  return `{${names.map((name) => `${JSON.stringify(name)}:${canonical(value[name])}`).join(",")}}`;
};

const isCount = (value) => Number.isSafeInteger(value) && value >= 0;
const isText = (value) => typeof value === "string";
const isHex = (length) => (value) => isText(value) && new RegExp(`^[0-9a-f]{${2 * length}}$`).test(value);
const orNull = (is) => (value) => value === null || is(value);
const isFlag = (value) => [null, "no_nonce", "automatic"].includes(value);

const BEACON = { hash: isHex(32), number: isCount, timestamp: isCount };
const SHAPES = {
  draw: {
    beacon: orNull((value) => fits(BEACON, value)),
    commitment: isHex(32),
    count: isCount,
    drawId: isText,
    end: isHex(32),
    format: (value) => value === 1,
    params: isText,
    replaced: isCount,
    serverSeed: isHex(32),
    won: (value) => Array.isArray(value) && value.every(isCount),
  },
  opening: {
    boxId: isHex(16),
    clientNonce: isHex(32),
    flag: isFlag,
    k: isCount,
    logHash: isHex(32),
    outcome: orNull(isText),
    previousLogHash: isHex(32),
  },
  head: { k: isCount, logHash: isHex(32) },
  ticket: { seq: isCount, tag: isHex(16), ticketId: isHex(16), void: (value) => typeof value === "boolean" },
  place: { lineId: orNull(isText), place: isCount, ticketId: isHex(16) },
  replacement: { by: orNull(isHex(16)), number: isCount, reason: isText, ticketId: isHex(16) },
};

// Since heads of the log are published, a draw that has some says how many.
const DRAW_WITH_HEADS = {
  ...SHAPES.draw,
  format: (value) => value === 2,
  heads: (value) => isCount(value) && value > 0,
};

const fits = (shape, value) =>
  typeof value === "object" &&
  value !== null &&
  canonical(Object.keys(value).sort()) === canonical(Object.keys(shape).sort()) &&
  Object.entries(shape).every(([name, is]) => is(value[name]));

const readLine = (text, at) => {
  let found;
  try {
    found = JSON.parse(text);
  } catch {
    throw new Failure("document", `Line ${at} is no line of a draw.`);
  }
  const { type, ...rest } = found || {};
  const shape = type === "draw" && rest.format === 2 ? DRAW_WITH_HEADS : SHAPES[type];
  const isKnown = Object.hasOwn(SHAPES, type) && (type === "draw") === (at === 1) && fits(shape, rest);
  demand("document", isKnown, `Line ${at} is no line of a draw.`);
  demand("document", canonical(found) === text, `Line ${at} is spelled in another way than it is published.`);
  return found;
};

const PARAMS = {
  algorithm: (value) => value === "draw-v1",
  beacon: orNull((value) => isText(value) && /^eip155:[1-9][0-9]*$/.test(value)),
  boxes: orNull((value) => isCount(value) && value > 0),
  campaignId: orNull(isText),
  drawAt: orNull((value) => isText(value) && !Number.isNaN(Date.parse(value))),
  lines: (value) => Array.isArray(value) && value.length > 0 && value.every((line) => fits(LINE, line)),
  maxWinsPerUser: orNull((value) => isCount(value) && value > 0),
  mode: (value) => ["instant", "raffle"].includes(value),
  reserves: orNull(isCount),
};
const LINE = { id: isText, quantity: (value) => isCount(value) && value > 0 };

const readParams = (text) => {
  let found;
  try {
    found = JSON.parse(text);
  } catch {
    throw new Failure("parameters", "They cannot be read.");
  }
  const isRaffle = found && found.mode === "raffle";
  const sound =
    fits(PARAMS, found) &&
    canonical(found) === text &&
    (isRaffle
      ? found.drawAt !== null && found.maxWinsPerUser !== null && found.reserves !== null
      : found.boxes !== null && found.lines.reduce((sum, line) => sum + line.quantity, 0) <= found.boxes);
  demand("parameters", sound, "They are none of draw-v1.");
  return found;
};

// The first word below the largest multiple of `size`, modulo `size`; as wide as the words are.
export const wideUniform = async (key, message, size) => {
  const wide = BigInt(size);
  const limit = ((1n << 64n) / wide) * wide;
  for (let block = 0; ; block += 1) {
    const words = new DataView((await hmac(key, join(message, uint32(block)))).buffer);
    for (let at = 0; at < 32; at += 8) {
      const word = words.getBigUint64(at);
      if (word < limit) return word % wide;
    }
  }
};

const uniform = async (key, message, size) => Number(await wideUniform(key, message, size));

const same = (left, right) => canonical(left) === canonical(right);

async function verifyOpenings(head, params, entries, note, progress) {
  const key = await hmacKey(bytes(head.serverSeed));
  const left = params.lines.map((line) => line.quantity);
  const boxes = new Map();
  let previous = head.commitment;
  let heads = 0;
  for await (const entry of entries) {
    if (entry.type === "head") {
      const isSo = entry.k === boxes.size && entry.logHash === previous;
      demand("heads", isSo, `The log was another at ${entry.k}.`);
      heads += 1;
      continue;
    }
    const k = boxes.size + 1;
    const follows = entry.type === "opening" && entry.k === k && k <= params.boxes && !boxes.has(entry.boxId);
    demand("openings", follows, `Opening ${k} is missing, one too many, or of a box that was opened before.`);
    const isFlagged = (entry.flag !== null) === (entry.clientNonce === ZEROS);
    demand("openings", isFlagged, `Opening ${k} does not say why it has no nonce.`);
    const { boxId, clientNonce, flag, outcome } = entry;
    const content = encoder.encode(canonical({ boxId, clientNonce, flag, k, outcome }));
    const logged = hex(await sha256(named("log"), bytes(previous), await sha256(content)));
    const isTied = entry.previousLogHash === previous && entry.logHash === logged;
    demand("log", isTied, `Opening ${k} does not follow the last.`);
    const message = join(named("open"), bytes(boxId), bytes(clientNonce), uint64(k));
    let rest = await uniform(key, message, params.boxes - k + 1);
    let line = 0;
    while (line < left.length && rest >= left[line]) {
      rest -= left[line];
      line += 1;
    }
    const won = line < left.length ? params.lines[line].id : null;
    demand("outcomes", won === outcome, `Opening ${k} had another outcome.`);
    if (won !== null) left[line] -= 1;
    boxes.set(boxId, entry);
    previous = logged;
    progress(boxes.size, head.count);
  }
  demand("openings", boxes.size === head.count, `${boxes.size} are here instead of ${head.count}.`);
  note("openings");
  demand("log", previous === head.end, "It does not end as was published.");
  note("log");
  demand("heads", heads === (head.heads || 0), `${heads} are here, not ${head.heads || 0}.`);
  note("heads");
  note("outcomes");
  const won = params.lines.map((line, at) => line.quantity - left[at]);
  demand("totals", same(won, head.won) && head.replaced === 0, "They are not what was won.");
  note("totals");
  return { boxes };
}

const merkleLevels = async (leaves, progress, total) => {
  const levels = [leaves];
  while (levels.at(-1).length > 1) {
    const below = levels.at(-1);
    const level = [];
    for (let at = 0; at + 1 < below.length; at += 2) {
      level.push(await sha256(Uint8Array.of(1), below[at], below[at + 1]));
      progress(Math.min(at, total), total);
    }
    if (below.length % 2) level.push(below.at(-1));
    levels.push(level);
  }
  return levels;
};

// What proves that a leaf is in the tree: siblings, upwards, and on which side each stands.
export const merklePath = (levels, index) => {
  const path = [];
  let at = index;
  for (const level of levels) {
    const sibling = at ^ 1;
    if (sibling < level.length) path.push({ isLeft: sibling < at, hash: hex(level[sibling]) });
    at >>= 1;
  }
  return path;
};

async function readRaffle(entries, progress, count) {
  const order = ["ticket", "place", "replacement"];
  const found = { ticket: [], place: [], replacement: [] };
  let stage = 0;
  for await (const entry of entries) {
    const at = order.indexOf(entry.type);
    demand("tickets", at >= stage, "The document is not in the order of a raffle.");
    stage = at;
    found[entry.type].push(entry);
    progress(Math.min(found.ticket.length, count), count);
  }
  return found;
}

const checkTickets = (head, params, tickets) => {
  const isWhole = tickets.every((ticket, at) => ticket.seq === at + 1) && tickets.length === head.count;
  demand("tickets", isWhole, "Their numbers have gaps, or some are missing.");
  const ids = new Set(tickets.map((ticket) => ticket.ticketId));
  demand("tickets", ids.size === tickets.length, "One is here twice.");
  demand("tickets", params.boxes === null || tickets.length <= params.boxes, `There are more than ${params.boxes}.`);
};

const checkBeacon = (head, params) => {
  const isPromised = (head.beacon !== null) === (params.beacon !== null);
  demand("beacon", isPromised, params.beacon ? `A block of ${params.beacon} was promised.` : "None was promised.");
  const earliest = Date.parse(params.drawAt) / 1000 + BEACON_SECONDS;
  const isYoung = head.beacon === null || head.beacon.timestamp >= earliest;
  demand("beacon", isYoung, "The block is older than was promised.");
};

async function drawPlaces(key, tickets, params, total) {
  const moved = new Map();
  const counts = new Map();
  const taken = [];
  const size = tickets.length;
  for (let at = 0; at < size && taken.length < total; at += 1) {
    const other = at + (await uniform(key, uint64(at), size - at));
    const drawn = moved.has(other) ? moved.get(other) : other;
    moved.set(other, moved.has(at) ? moved.get(at) : at);
    const ticket = tickets[drawn];
    const count = counts.get(ticket.tag) || 0;
    if (count < params.maxWinsPerUser) {
      counts.set(ticket.tag, count + 1);
      taken.push(ticket);
    }
  }
  return taken;
}

const checkReplacements = (head, params, found, prizes) => {
  const lines = new Map(found.place.slice(0, prizes).map((place) => [place.ticketId, place.lineId]));
  const reserves = found.place.slice(prizes).map((place) => place.ticketId);
  found.replacement.forEach((row, at) => {
    const next = reserves.length ? reserves.shift() : null;
    const follows = row.number === at + 1 && lines.has(row.ticketId) && row.by === next && row.reason !== "";
    demand("replacements", follows, `Replacement ${at + 1} does not follow the order.`);
    const line = lines.get(row.ticketId);
    lines.delete(row.ticketId);
    if (next !== null) lines.set(next, line);
  });
  const isWhole = found.replacement.length === head.replaced;
  demand("replacements", isWhole, `${found.replacement.length} are here, not ${head.replaced}.`);
  return lines;
};

async function verifyRaffle(head, params, entries, note, progress) {
  const found = await readRaffle(entries, progress, head.count);
  const tickets = found.ticket;
  checkTickets(head, params, tickets);
  note("tickets");
  const leaves = [];
  for (const { ticketId, seq, tag, ...rest } of tickets) {
    leaves.push(await sha256(Uint8Array.of(rest.void ? 2 : 0), bytes(ticketId), uint64(seq), bytes(tag)));
    progress(leaves.length, tickets.length);
  }
  const levels = await merkleLevels(leaves, progress, tickets.length);
  const root = levels.at(-1)[0] || (await sha256());
  demand("root", hex(root) === head.end, "The tickets do not lead to it.");
  note("root");
  checkBeacon(head, params);
  note("beacon");
  const beacon = bytes(head.beacon ? head.beacon.hash : ZEROS);
  const seedKey = await hmacKey(bytes(head.serverSeed));
  const key = await hmacKey(await hmac(seedKey, join(named("raffle"), root, beacon)));
  const units = params.lines.flatMap((line) => Array(line.quantity).fill(line.id));
  const live = tickets.filter((ticket) => !ticket.void);
  const taken = await drawPlaces(key, live, params, units.length + params.reserves);
  const places = taken.map((ticket, at) => ({
    lineId: units[at] === undefined ? null : units[at],
    place: at + 1,
    ticketId: ticket.ticketId,
    type: "place",
  }));
  demand("winners", same(places, found.place), "Places belong to other tickets or lines.");
  note("winners");
  const lines = checkReplacements(head, params, found, units.length);
  note("replacements");
  const held = [...lines.values()];
  const won = params.lines.map((line) => held.filter((id) => id === line.id).length);
  demand("totals", same(won, head.won) && !head.heads, "They are not what was won.");
  note("totals");
  return { tickets, levels, places: found.place, lines, replacements: found.replacement };
}

async function* numbered(lines) {
  let at = 1;
  for await (const line of lines) {
    at += 1;
    yield readLine(line, at);
  }
}

// Verifies the lines of a document. `note(step, problem)` hears of every step, with a sentence where it does not
// hold; `progress(done, all)` how far a long list is. Answers what was found, for looking things up, or null.
export async function verify(lines, { note = () => {}, progress = () => {}, expected = {} } = {}) {
  try {
    const source = lines[Symbol.asyncIterator] ? lines[Symbol.asyncIterator]() : lines[Symbol.iterator]();
    const first = await source.next();
    const head = readLine(first.done ? "" : first.value, 1);
    for (const [name, value] of Object.entries(expected)) {
      demand("document", head[name] === value, "It belongs to another draw than this page.");
    }
    note("document");
    const params = readParams(head.params);
    note("parameters");
    const content = encoder.encode(head.params);
    const commitment = await sha256(named("commit"), await sha256(content), bytes(head.serverSeed));
    demand("commitment", hex(commitment) === head.commitment, "Seed and parameters do not lead to it.");
    note("commitment");
    const rest = numbered({ [Symbol.asyncIterator]: () => ({ next: async () => source.next() }) });
    const go = params.mode === "instant" ? verifyOpenings : verifyRaffle;
    return { head, params, ...(await go(head, params, rest, note, progress)) };
  } catch (error) {
    if (!(error instanceof Failure)) throw error;
    note(error.step, error.message);
    return null;
  }
}
