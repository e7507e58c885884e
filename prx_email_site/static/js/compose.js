// A second click on Send does nothing; the server would make one mail of both anyway.
"use strict";

document.addEventListener("submit", (event) => {
  const form = event.target;
  if (!form.matches("[data-once]") || event.defaultPrevented) return;
  if (form.dataset.sent) event.preventDefault();
  form.dataset.sent = "yes";
});

// Ctrl+Enter (or the Command key) sends what is being written.
document.addEventListener("keydown", (event) => {
  const form = event.target.closest?.("form.compose");
  if (!form || event.key !== "Enter" || !(event.ctrlKey || event.metaKey)) return;
  event.preventDefault();
  form.requestSubmit(document.getElementById("send"));
});

// The back button brings the page as it was left: it may be sent again then.
window.addEventListener("pageshow", () => {
  for (const form of document.querySelectorAll("[data-once]")) delete form.dataset.sent;
});

// The line that stands for the folded fields of an answer says what stands in them.
document.addEventListener("input", (event) => {
  const shown = event.target.form?.querySelector?.(`.envelope [data-shows="${event.target.name}"]`);
  if (!shown) return;
  shown.textContent = event.target.value;
  shown.parentElement.hidden = !event.target.value;
});
