// Copy buttons appear where the browser can copy, and say when they have.
(() => {
  if (!navigator.clipboard) return;
  const show = (root) => root.querySelectorAll("[data-copy]").forEach((button) => (button.hidden = false));
  const copy = async (button) => {
    await navigator.clipboard.writeText(button.dataset.copy);
    const title = button.title;
    button.classList.add("is-copied");
    button.title = button.dataset.copied;
    setTimeout(() => {
      button.classList.remove("is-copied");
      button.title = title;
    }, 1500);
  };
  document.addEventListener("click", (event) => {
    const button = event.target.closest("[data-copy]");
    if (button) copy(button);
  });
  document.addEventListener("DOMContentLoaded", () => show(document));
  document.addEventListener("htmx:load", (event) => show(event.detail.elt));
})();
