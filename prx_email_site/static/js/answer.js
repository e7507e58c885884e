// An answer is written under its mail. Without this file the links lead to a page of its own, which this one is made from.
"use strict";

// The page of writing at this address, opened here. Returns its answer where it holds no form: that says why, or where the mail is now.
async function openAnswer(address, place) {
  const response = await fetch(address, { credentials: "same-origin" });
  const page = new DOMParser().parseFromString(await response.text(), "text/html");
  const form = page.querySelector("#writing form.compose");
  if (!response.ok || !form) return response;
  const title = document.createElement("h2");
  title.id = "answer-title";
  title.textContent = page.querySelector("h1").textContent;
  const body = document.createElement("div");
  body.className = "panel-body";
  body.append(title, document.adoptNode(page.getElementById("writing")));
  form.action = address; // what is refused comes back as the page of writing, with all that was typed
  place.replaceChildren(body);
  place.hidden = false;
  document.dispatchEvent(new Event("prx:writing"));
  place.scrollIntoView({ block: "start" });
  const field = form.querySelector("[autofocus]") ?? form.elements.namedItem("to");
  field.focus({ preventScroll: true });
  field.setSelectionRange(0, 0);
  return null;
}

// Something was typed that the page did not begin with, or is kept already.
const isTouched = (form) => form.elements.namedItem("draft").value || [...form.querySelectorAll("textarea, input:not([type=hidden])")].some((field) => (
  field.type === "checkbox" ? field.checked !== field.defaultChecked : field.value !== field.defaultValue));

document.addEventListener("click", async (event) => {
  const link = event.target.closest?.("a[data-answer]");
  const place = document.getElementById("answer");
  if (!link || !place || event.ctrlKey || event.metaKey || event.shiftKey || event.button) return;
  const form = place.querySelector("form.compose");
  if (form && isTouched(form)) {
    // What is being written stays: the same link comes back to it, another one opens a page of its own.
    if (`?${form.elements.namedItem("start").value}` !== new URL(link.href).search) return;
    event.preventDefault();
    form.elements.namedItem("body_text").focus();
    return;
  }
  event.preventDefault();
  try { if (await openAnswer(link.href, place)) location.assign(link.href); } catch (error) { location.assign(link.href); }
});

// The address of the page carries the draft: a reload, or signing in again, comes back to what was written.
document.addEventListener("DOMContentLoaded", async () => {
  const asked = new URLSearchParams(location.search);
  const place = document.getElementById("answer");
  if (!place || !asked.has("draft")) return;
  const compose = new URL(document.querySelector("a[data-answer]").href).pathname;
  const draft = new URLSearchParams({ draft: asked.get("draft"), key: asked.get("key") ?? "" });
  const other = await openAnswer(`${compose}?${draft}`, place);
  if (!other) return;
  for (const name of ["draft", "key"]) asked.delete(name);
  history.replaceState(null, "", `${location.pathname}${asked.size ? `?${asked}` : ""}`);
  if (!other.redirected || !/\/\d+\/$/.test(new URL(other.url).pathname)) return;
  const words = wordsOf(place);
  const link = Object.assign(document.createElement("a"), { href: other.url, textContent: words.open });
  const said = Object.assign(document.createElement("p"), { id: "answer-title", className: "panel-body" });
  said.append(`${words.sent} `, link);
  place.replaceChildren(said);
  place.hidden = false;
});
