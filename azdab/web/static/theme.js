// @ts-check
// Before anything is painted: the colours chosen last time.
// The choice is one of "auto", "light" and "dark"; without it the page follows the system.
(() => {
  let chosen = "auto";
  try {
    chosen = localStorage.getItem("azdab-theme") ?? chosen;
  } catch {
    // Storage may be forbidden.
  }
  document.documentElement.dataset.theme = chosen;
})();
