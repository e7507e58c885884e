// Completes addresses from known mail: a combobox with a listbox (ARIA APG). Without it one types them.
"use strict";

for (const name of ["DOMContentLoaded", "prx:writing"]) {
  document.addEventListener(name, () => {
    const form = document.querySelector("form[data-addresses]");
    for (const input of form?.querySelectorAll("input[data-complete]") ?? []) combobox(input, form.dataset.addresses);
  });
}

function combobox(input, address) {
  const list = document.createElement("ul");
  list.id = `${input.id}-known`;
  list.className = "known";
  list.hidden = true;
  list.setAttribute("role", "listbox");
  list.setAttribute("aria-label", wordsOf(input.form).knownAddresses);
  input.after(list);
  input.parentElement.classList.add("has-known");
  for (const [name, value] of [["role", "combobox"], ["aria-autocomplete", "list"], ["aria-expanded", "false"], ["aria-controls", list.id]]) {
    input.setAttribute(name, value);
  }
  let timer = 0;
  let asked = 0;
  let chosen = -1;

  // The address the cursor stands in: from the last comma outside quotes on.
  function start() {
    let quoted = false;
    let from = 0;
    const before = input.value.slice(0, input.selectionStart);
    for (let place = 0; place < before.length; place += 1) {
      if (before[place] === '"') quoted = !quoted;
      if (!quoted && /[,;]/.test(before[place])) from = place + 1;
    }
    return from;
  }

  function close() {
    list.hidden = true;
    chosen = -1;
    input.setAttribute("aria-expanded", "false");
    input.removeAttribute("aria-activedescendant");
  }

  function choose(index) {
    chosen = index;
    for (const [number, option] of [...list.children].entries()) option.setAttribute("aria-selected", String(number === index));
    const option = list.children[index];
    if (option) { input.setAttribute("aria-activedescendant", option.id); option.scrollIntoView({ block: "nearest" }); }
  }

  function put(option) {
    const from = start();
    const rest = input.value.slice(input.selectionStart).replace(/^[^,;]*/, "");
    const head = `${input.value.slice(0, from)}${from ? " " : ""}${option.dataset.value}`;
    input.value = head + (rest || ", ");
    const place = rest ? head.length : input.value.length;
    input.setSelectionRange(place, place);
    close();
    input.dispatchEvent(new Event("input", { bubbles: true }));
  }

  async function ask() {
    const typed = input.value.slice(start(), input.selectionStart).trim();
    const mine = ++asked;
    if (typed.length < 2) { close(); return; }
    const response = await fetch(`${address}?q=${encodeURIComponent(typed)}`, { credentials: "same-origin" });
    if (mine !== asked || !response.ok || response.redirected || document.activeElement !== input) return;
    const { addresses } = await response.json();
    list.replaceChildren(...addresses.map((each, index) => {
      const option = document.createElement("li");
      option.id = `${list.id}-${index}`;
      option.setAttribute("role", "option");
      option.setAttribute("aria-selected", "false");
      option.dataset.value = each.value;
      option.dir = "auto";
      option.textContent = each.name ? `${each.name} <${each.address}>` : each.address;
      option.addEventListener("mousedown", (event) => { event.preventDefault(); put(option); });
      return option;
    }));
    if (!addresses.length) { close(); return; }
    list.hidden = false;
    input.setAttribute("aria-expanded", "true");
    choose(0);
  }

  input.addEventListener("input", (event) => {
    clearTimeout(timer);
    if (event.isTrusted) timer = setTimeout(() => ask().catch(close), 150);
  });
  input.addEventListener("blur", close);
  input.addEventListener("keydown", (event) => {
    if (list.hidden) return;
    const last = list.children.length - 1;
    if (event.key === "ArrowDown") choose(chosen >= last ? 0 : chosen + 1);
    else if (event.key === "ArrowUp") choose(chosen <= 0 ? last : chosen - 1);
    else if (event.key === "Enter" || event.key === "Tab") put(list.children[Math.max(chosen, 0)]);
    else if (event.key === "Escape") close();
    else return;
    event.preventDefault();
  });
}
