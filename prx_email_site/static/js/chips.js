// Shows under To, Cc and Bcc what was understood of what stands there. The field itself stays as typed and is what is sent.
"use strict";

for (const name of ["DOMContentLoaded", "prx:writing"]) {
  document.addEventListener(name, () => {
    const form = document.querySelector("form[data-addresses]");
    for (const input of form?.querySelectorAll("input[data-complete]") ?? []) understood(input, form);
  });
}

function understood(input, form) {
  const list = document.createElement("ul");
  list.className = "understood";
  list.hidden = true;
  list.setAttribute("aria-label", wordsOf(form).understood);
  list.setAttribute("aria-live", "polite");
  input.parentElement.append(list);
  let asked = "";

  function chip(item, all) {
    const shown = document.createElement("li");
    shown.className = item.problem ? "wrong" : "";
    const name = document.createElement("bdi");
    name.textContent = item.name ? `${item.name} <${item.address}>` : item.address;
    shown.append(name);
    if (item.problem) {
      const why = document.createElement("span");
      why.textContent = ` ${item.problem}`;
      shown.append(why);
    }
    const remove = document.createElement("button");
    remove.type = "button";
    remove.textContent = "×";
    remove.setAttribute("aria-label", fill(wordsOf(form).remove, { address: item.address }));
    remove.addEventListener("click", () => {
      input.value = all.filter((each) => each !== item).map((each) => each.value).join(", ");
      input.dispatchEvent(new Event("input", { bubbles: true }));
      input.focus();
      read();
    });
    shown.append(remove);
    return shown;
  }

  async function read() {
    const typed = input.value;
    if (typed === asked) return;
    asked = typed;
    if (!typed.trim()) { list.replaceChildren(); list.hidden = true; return; }
    const body = new FormData();
    body.append("typed", typed);
    body.append("csrfmiddlewaretoken", form.elements.namedItem("csrfmiddlewaretoken").value);
    const response = await fetch(form.dataset.addresses, { method: "POST", body, credentials: "same-origin", redirect: "manual" });
    if (!response.ok || typed !== input.value) { asked = ""; return; }
    const { items, more } = await response.json();
    list.replaceChildren(...items.map((item) => chip(item, items)));
    if (more) list.append(Object.assign(document.createElement("li"), { textContent: `+ ${more}` }));
    // One plain address says nothing that the field does not say.
    list.hidden = !more && items.length < 2 && !items.some((item) => item.problem || item.value !== typed.trim());
  }

  const quietly = () => read().catch(() => { asked = ""; });
  input.addEventListener("change", quietly);
  input.addEventListener("blur", quietly);
  input.addEventListener("paste", () => setTimeout(quietly));
  if (input.value) quietly();
}
