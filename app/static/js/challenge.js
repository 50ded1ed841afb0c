// Solves the challenge of a form: finds the number with which the SHA-256 of "<nonce>:<number>" begins with zero bits.
// Written here because the browser's own SHA-256 is asynchronous and exists on https only. FIPS 180-4; one block of 55 bytes at most.
(() => {
  const primes = [];
  for (let n = 2; primes.length < 64; n++) if (primes.every((prime) => n % prime)) primes.push(n);
  const fraction = (root) => ((root - Math.floor(root)) * 4294967296) | 0;
  const K = Int32Array.from(primes, (prime) => fraction(Math.cbrt(prime)));
  const START = Int32Array.from(primes.slice(0, 8), (prime) => fraction(Math.sqrt(prime)));
  const words = new Int32Array(64);
  const turn = (x, by) => (x >>> by) | (x << (32 - by));

  // The first 32 bits of the hash of a short ASCII text.
  const head = (text) => {
    words.fill(0, 0, 16);
    for (let i = 0; i < text.length; i++) words[i >> 2] |= text.charCodeAt(i) << (24 - 8 * (i & 3));
    words[text.length >> 2] |= 128 << (24 - 8 * (text.length & 3));
    words[15] = text.length * 8;
    for (let i = 16; i < 64; i++) {
      const a = words[i - 15], b = words[i - 2];
      const s0 = turn(a, 7) ^ turn(a, 18) ^ (a >>> 3);
      const s1 = turn(b, 17) ^ turn(b, 19) ^ (b >>> 10);
      words[i] = (words[i - 16] + s0 + words[i - 7] + s1) | 0;
    }
    let [a, b, c, d, e, f, g, h] = START;
    for (let i = 0; i < 64; i++) {
      const s1 = turn(e, 6) ^ turn(e, 11) ^ turn(e, 25);
      const t1 = (h + s1 + ((e & f) ^ (~e & g)) + K[i] + words[i]) | 0;
      const s0 = turn(a, 2) ^ turn(a, 13) ^ turn(a, 22);
      const t2 = (s0 + ((a & b) ^ (a & c) ^ (b & c))) | 0;
      h = g; g = f; f = e; e = (d + t1) | 0; d = c; c = b; b = a; a = (t1 + t2) | 0;
    }
    return (a + START[0]) >>> 0;
  };

  const solve = async (nonce, bits) => {
    for (let number = 0; ; number++) {
      if (head(`${nonce}:${number}`) >>> (32 - bits) === 0) return number;
      if (number % 4096 === 4095) await new Promise((resolve) => setTimeout(resolve));
    }
  };

  document.addEventListener("DOMContentLoaded", () => {
    document.querySelectorAll("form[data-challenge]").forEach(async (form) => {
      const challenge = form.dataset.challenge;
      const number = await solve(challenge.split(".")[0], Number(form.dataset.bits));
      form.elements.answer.value = `${challenge}:${number}`;
      form.querySelectorAll("button[disabled]").forEach((button) => (button.disabled = false));
      form.querySelectorAll("[data-solving]").forEach((note) => (note.hidden = true));
    });
  });
})();
