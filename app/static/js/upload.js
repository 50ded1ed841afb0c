// A field for a file takes what is dropped on it and shows that it has something.
(() => {
  const mark = (zone) => zone.classList.toggle("has-file", zone.querySelector("input").files.length > 0);
  document.addEventListener("change", (event) => {
    const zone = event.target.closest("[data-upload]");
    if (zone) mark(zone);
  });
  for (const kind of ["dragover", "dragleave", "drop"]) {
    document.addEventListener(kind, (event) => {
      const zone = event.target.closest && event.target.closest("[data-upload]");
      if (zone) zone.classList.toggle("is-over", kind === "dragover");
    });
  }
})();
