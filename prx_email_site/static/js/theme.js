// Runs before the first paint (a plain script in <head>), so that a chosen theme never flashes.
(function () {
  "use strict";
  try {
    const chosen = localStorage.getItem("prx-theme");
    if (chosen === "light" || chosen === "dark") document.documentElement.dataset.theme = chosen;
  } catch (error) {
    // Storage refused (private mode): the system's theme stands.
  }
})();
