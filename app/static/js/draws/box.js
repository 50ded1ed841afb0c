// Opening a box adds 32 bytes of this browser, so that nobody else can know beforehand what is in it.
document.addEventListener("submit", (event) => {
  const form = event.target.closest("[data-open-box]");
  if (!form || form.elements.nonce.value) return;
  const bytes = crypto.getRandomValues(new Uint8Array(32));
  form.elements.nonce.value = Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
});
