// An answer is written under its mail. Without this file the links lead to a page of its own, which this one is made from.
"use strict";

let box = null; // in the page from the beginning: takes what is typed before the form has come
let coming = ""; // the address of the form that is on its way
let isDraftComing = false;
let composed = Promise.resolve(); // an input method's unfinished letter is not cut off

window.addEventListener("beforeunload", (event) => { if (box?.value) event.preventDefault(); });

function inPanel(...parts) {
  const body = document.createElement("div");
  body.className = "panel-body";
  body.append(...parts);
  return body;
}

function showBox(place) {
  place.replaceChildren(inPanel(box));
  place.hidden = false;
  place.scrollIntoView({ block: "nearest" });
  box.focus({ preventScroll: true });
}

// What was typed into the box goes on in the form: to the beginning of its field, and the cursor with it.
function typeOn(form, mayFocus) {
  const field = form.querySelector("[autofocus]") ?? form.elements.namedItem("to");
  const isHtml = field.name === "body_text" && form.elements.namedItem("text_format")?.value === "html";
  const typed = isHtml && box.value ? Object.assign(document.createElement("p"), { innerText: box.value }).outerHTML : box.value;
  if (mayFocus) field.focus({ preventScroll: true });
  field.setRangeText(typed, 0, 0);
  field.setSelectionRange(isHtml ? 0 : box.selectionStart, isHtml ? 0 : box.selectionEnd);
  box.value = "";
  if (typed) field.dispatchEvent(new Event("input", { bubbles: true }));
}

// The page of writing at this address, opened here. Returns its answer where it holds no form: that says why, or where the mail is now.
async function openAnswer(address, place) {
  coming = address;
  const response = await fetch(address, { credentials: "same-origin" });
  const page = new DOMParser().parseFromString(await response.text(), "text/html");
  await composed;
  if (coming !== address) return null; // another one was asked for meanwhile
  coming = "";
  const form = page.querySelector("#writing form.compose");
  if (!response.ok || !form) return response;
  const mayFocus = [box, document.body].includes(document.activeElement); // else somebody types elsewhere
  const title = document.createElement("h2");
  title.id = "answer-title";
  title.textContent = page.querySelector("h1").textContent;
  form.action = address; // what is refused comes back as the page of writing, with all that was typed
  place.replaceChildren(inPanel(title, document.adoptNode(page.getElementById("writing"))));
  place.hidden = false;
  document.dispatchEvent(new Event("prx:writing"));
  if (mayFocus) place.scrollIntoView({ block: "start" });
  typeOn(form, mayFocus);
  return null;
}

// Where no form came the link's page says why; not away from what was typed meanwhile.
function leave(address, place) {
  coming = "";
  if (!box.value) { location.assign(address); return; }
  const words = wordsOf(place);
  const said = document.createElement("p");
  said.setAttribute("role", "alert");
  said.append(`${words.kept} `, Object.assign(document.createElement("a"), { href: address, target: "_blank", textContent: words.open }));
  place.replaceChildren(inPanel(said, box));
  place.hidden = false;
  box.focus();
}

// Something was typed that the page did not begin with, or is kept already.
const isTouched = (form) => form.elements.namedItem("draft").value || [...form.querySelectorAll("textarea, input:not([type=hidden])")].some((field) => (
  field.type === "checkbox" ? field.checked !== field.defaultChecked : field.value !== field.defaultValue));

document.addEventListener("click", async (event) => {
  const link = event.target.closest?.("a[data-answer]");
  const place = document.getElementById("answer");
  if (!link || !box || event.ctrlKey || event.metaKey || event.shiftKey || event.button) return;
  const form = place.querySelector("form.compose");
  if (form && isTouched(form)) {
    // What is being written stays: the same link comes back to it, another one opens a page of its own.
    if (`?${form.elements.namedItem("start").value}` !== new URL(link.href).search) return;
    event.preventDefault();
    form.elements.namedItem("body_text").focus();
    return;
  }
  event.preventDefault();
  showBox(place);
  if (isDraftComing || coming === link.href) return;
  try { if (await openAnswer(link.href, place)) leave(link.href, place); } catch (error) { leave(link.href, place); }
});

// The address of the page carries the draft: a reload, or signing in again, comes back to what was written.
async function openDraft(place) {
  const asked = new URLSearchParams(location.search);
  const compose = new URL(document.querySelector("a[data-answer]").href).pathname;
  const draft = new URLSearchParams({ draft: asked.get("draft"), key: asked.get("key") ?? "" });
  const address = `${compose}?${draft}`;
  const other = await openAnswer(address, place);
  if (!other) return;
  for (const name of ["draft", "key"]) asked.delete(name);
  history.replaceState(null, "", `${location.pathname}${asked.size ? `?${asked}` : ""}`);
  if (box.value) { leave(other.url, place); return; }
  if (!other.redirected || !/\/\d+\/$/.test(new URL(other.url).pathname)) return;
  const words = wordsOf(place);
  const link = Object.assign(document.createElement("a"), { href: other.url, textContent: words.open });
  const said = Object.assign(document.createElement("p"), { id: "answer-title", className: "panel-body" });
  said.append(`${words.sent} `, link);
  place.replaceChildren(said);
  place.hidden = false;
}

document.addEventListener("DOMContentLoaded", async () => {
  const place = document.getElementById("answer");
  box = place?.querySelector("textarea") ?? null;
  if (!box) return;
  box.addEventListener("compositionstart", () => {
    composed = new Promise((done) => { box.addEventListener("compositionend", done, { once: true }); });
  });
  if (!new URLSearchParams(location.search).has("draft")) return;
  isDraftComing = true;
  try { await openDraft(place); } finally { isDraftComing = false; }
});
