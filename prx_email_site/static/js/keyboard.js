// Shortcuts of a single key, never while somebody types. Each presses a link or a button that is there anyway.
"use strict";

const TRY_NOW = 'form[action$="/retry/"] button, form[action$="/send-now/"] button, button[formaction$="/retry/"], button[formaction$="/send-now/"]';
const OFF = "prx-shortcuts-off";
let first = ""; // "g", for a moment
let forget = 0;
const TYPED = "prx-typed";
let isLeaving = false;
let opensField = false; // the page that is on its way begins with something to type in
let typed = "";

function areOff() {
  try { return localStorage.getItem(OFF) === "yes"; } catch (error) { return false; }
}

function isTyping(target) {
  return target.isContentEditable || target.closest?.("textarea, select, [role=combobox], input:not([type=checkbox], [type=radio], [type=submit], [type=button])");
}

const rows = () => [...document.querySelectorAll("main table.list tbody tr")].filter((row) => row.querySelector("a[href]"));
const linkOf = (row) => row.querySelector("td.subject a[href], td.fill a[href]") ?? row.querySelector("a[href]");
const rowAtHand = () => document.activeElement?.closest?.("main table.list tbody tr") ?? document.querySelector("tr.at-hand");

function move(step) {
  const all = rows();
  if (!all.length) return;
  const at = all.indexOf(rowAtHand());
  const next = all[at < 0 ? (step > 0 ? 0 : all.length - 1) : Math.min(all.length - 1, Math.max(0, at + step))];
  for (const row of document.querySelectorAll("tr.at-hand")) row.classList.remove("at-hand");
  next.classList.add("at-hand");
  linkOf(next).focus({ preventScroll: true });
  next.scrollIntoView({ block: "nearest" });
}

function press(element) {
  if (element) element.click();
  return Boolean(element);
}

function retryOrReply() {
  const row = rowAtHand();
  if (row) return press(row.querySelector(TRY_NOW));
  if (document.querySelector("main table.list tbody td.tick")) return false; // a list: only the row at hand
  return press(document.querySelector('main a[href*="?reply_to="]')) || press(document.querySelector(`#send-state :is(${TRY_NOW})`));
}

async function showSheet(address) {
  let sheet = document.querySelector("dialog.sheet");
  if (!sheet) {
    const page = new DOMParser().parseFromString(await (await fetch(address)).text(), "text/html");
    const told = page.getElementById("shortcuts");
    if (!told) return;
    sheet = document.createElement("dialog");
    sheet.className = "sheet";
    sheet.setAttribute("aria-label", document.querySelector("a[data-shortcuts]").textContent);
    const head = document.createElement("form");
    head.method = "dialog";
    head.className = "sheet-head";
    const title = document.createElement("strong");
    title.textContent = page.querySelector("h1").textContent;
    const close = document.createElement("button");
    close.className = "button small";
    close.textContent = wordsOf(told).close;
    head.append(title, close);
    sheet.append(head, told);
    document.body.append(sheet);
    prepareSwitch(sheet);
  }
  if (!sheet.open) sheet.showModal();
}

// WCAG 2.1.4: shortcuts of one character can be switched off, as they disturb whoever speaks to the computer.
function prepareSwitch(within) {
  const label = within.querySelector("[data-shortcuts-switch]");
  if (!label) return;
  const box = label.querySelector("input");
  label.hidden = false;
  box.checked = !areOff();
  box.addEventListener("change", () => {
    if (box.checked) localStorage.removeItem(OFF); else localStorage.setItem(OFF, "yes");
  });
}

function go(key) {
  return press([...document.querySelectorAll(".topnav a[data-go]")].find((link) => link.dataset.go === key));
}

function openSearch() {
  const link = document.querySelector('.topnav a[data-go="m"]');
  if (!link) return;
  opensField = true;
  location.assign(`${link.href}#search`);
}

// On the page of a message: the next or previous one of the list it was opened from; not away from an answer that is open.
const step = (name) => !document.querySelector("#answer:not([hidden]) textarea") && press(document.querySelector(`nav.walk a[data-step="${name}"]`));
const on = document.documentElement.dir === "rtl" ? "ArrowLeft" : "ArrowRight"; // where one reads to
const isWalk = () => Boolean(document.querySelector("nav.walk:not([hidden])"));

const obey = {
  j: () => (isWalk() ? step("next") : move(1)),
  k: () => (isWalk() ? step("previous") : move(-1)),
  ArrowRight: () => step(on === "ArrowRight" ? "next" : "previous"),
  ArrowLeft: () => step(on === "ArrowLeft" ? "next" : "previous"),
  o: () => press(rowAtHand() && linkOf(rowAtHand())),
  Enter: () => press(rowAtHand() && linkOf(rowAtHand())),
  x: () => press(rowAtHand()?.querySelector('input[type="checkbox"]')),
  r: retryOrReply,
  u: () => step("back") || press([...document.querySelectorAll("main .crumbs a")].pop()),
  c: () => press(document.querySelector('main a[href*="/outbox/compose/"]')),
  "/": () => { const field = document.querySelector('main input[type="search"]'); if (field) { field.focus(); field.select(); } else openSearch(); },
  "?": () => showSheet(document.querySelector("a[data-shortcuts]").href),
};

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing || event.defaultPrevented) return;
  if (event.key === "Escape" && isTyping(event.target)) { event.target.blur(); return; }
  if (isTyping(event.target) || document.querySelector("dialog[open]") || (areOff() && event.key !== "?")) return;
  if (isLeaving) {
    if (opensField && event.key.length === 1) { typed += event.key; event.preventDefault(); }
    return;
  }
  if (first === "g") {
    first = "";
    clearTimeout(forget);
    if (go(event.key)) event.preventDefault();
    return;
  }
  if (event.key === "g") {
    first = "g";
    forget = setTimeout(() => { first = ""; }, 1500);
    return;
  }
  if (event.repeat && !"jk".includes(event.key)) return;
  const act = Object.hasOwn(obey, event.key) ? obey[event.key] : null;
  if (!act) return;
  if (event.key === "Enter" && event.target !== document.body && !event.target.matches("[data-result]")) return; // it presses what has the focus
  if (event.key.startsWith("Arrow") && (!isWalk() || event.target !== document.body)) return; // they move a focus or a frame
  event.preventDefault();
  act();
});

// Another page is on its way: what is typed is no shortcut of this one, and goes on in the field that the other begins with.
// A file that is fetched begins like a page, and no page comes.
window.addEventListener("beforeunload", () => {
  isLeaving = true;
  setTimeout(() => { isLeaving = false; }, 5000);
});
document.addEventListener("click", (event) => {
  opensField = Boolean(event.target.closest?.('a:is([href*="/outbox/compose/"], [href*="/outbox/correct/"])'));
});
window.addEventListener("pagehide", () => {
  try { if (typed) sessionStorage.setItem(TYPED, typed); } catch (error) { /* storage refused */ }
});
window.addEventListener("pageshow", () => {
  isLeaving = opensField = false;
  typed = "";
  let before = null;
  try { before = sessionStorage.getItem(TYPED); sessionStorage.removeItem(TYPED); } catch (error) { return; }
  const field = document.querySelector("main :is([autofocus], input:target)");
  if (!before || !field) return;
  field.focus();
  field.setRangeText(before, 0, 0, "end");
  field.dispatchEvent(new Event("input", { bubbles: true }));
});

document.addEventListener("DOMContentLoaded", () => prepareSwitch(document.querySelector("main")));
