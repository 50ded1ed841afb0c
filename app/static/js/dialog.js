// Dialogs open as modals, so that focus stays inside; without this script a link shows them by its target.
// Toasts can be dismissed.
(() => {
  const open = (link) => {
    const dialog = document.getElementById(link.dataset.dialog);
    if (!dialog || !dialog.showModal) return false;
    dialog.showModal();
    return true;
  };
  document.addEventListener("click", (event) => {
    const opener = event.target.closest("[data-dialog]");
    if (opener && open(opener)) event.preventDefault();
    const closer = event.target.closest("[data-dialog-close]");
    const dialog = closer ? closer.closest("dialog") : event.target.matches("dialog[open]") && event.target;
    if (dialog && dialog.open) {
      dialog.close();
      event.preventDefault();
    }
    const dismiss = event.target.closest("[data-dismiss]");
    if (dismiss) dismiss.parentElement.remove();
  });
  const show = (root) => root.querySelectorAll("[data-dismiss]").forEach((button) => (button.hidden = false));
  document.addEventListener("DOMContentLoaded", () => show(document));
  document.addEventListener("htmx:load", (event) => show(event.detail.elt.parentElement || event.detail.elt));
})();
