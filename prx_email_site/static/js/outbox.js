// Tick all rows of the page, and say how many are ticked. Without this file each row is ticked by itself.
"use strict";

document.addEventListener("DOMContentLoaded", () => {
  const all = document.querySelector("[data-tick-all]");
  if (!all) return;
  const words = document.querySelector("[data-ticked]");
  const boxes = () => [...document.querySelectorAll('input[name="pk"][form="bulk"]')];

  const scope = (value) => document.querySelector(`#bulk input[name="scope"][value="${value}"]`);

  function count() {
    const ticked = boxes().filter((box) => box.checked).length;
    words.textContent = wordsOf(words).ticked.replace("{number}", ticked);
    all.checked = ticked > 0 && ticked === boxes().length;
    all.indeterminate = ticked > 0 && !all.checked;
  }

  all.closest("[hidden]").hidden = !boxes().length; // under All no row has a box
  all.addEventListener("change", () => {
    for (const box of boxes()) box.checked = all.checked;
    scope("ticked").checked = true;
    count();
  });
  document.addEventListener("change", (event) => {
    if (event.target.name === "pk") scope("ticked").checked = true;
    if (event.target.form?.id === "bulk" && event.target !== all) count();
  });
  // A row's new state came in: its box stands for what is shown now.
  document.addEventListener("htmx:oobAfterSwap", (event) => {
    const shown = event.detail.target?.dataset?.ticks ?? event.target?.dataset?.ticks;
    const box = shown && document.querySelector(`input[name="pk"][data-row="${shown.split(".")[0]}"]`);
    if (box) box.value = shown;
  });
  // Ticked before this ran, or by the browser that remembers a form: a tick says what is meant, here too.
  if (boxes().some((box) => box.checked)) scope("ticked").checked = true;
  count();
});
