// Small habits of every page. Everything here only improves what works without it.
"use strict";

// How the page's language writes times and numbers: in any language with the digits 0 to 9, as the server does.
const locale = `${document.documentElement.lang}-u-nu-latn`;
const units = [["days", 86400], ["hours", 3600], ["minutes", 60], ["seconds", 1]];

// The words of a script, in the page's language: JSON in a data attribute, with places such as {number}.
function wordsOf(element) { return JSON.parse(element.dataset.words); }

function fill(words, values) { return words.replace(/\{(\w+)\}/g, (place, name) => values[name] ?? place); }

let said = null; // of the page; there is no body yet when this file is read

function spoken(seconds) {
  const [unit, size] = units.find(([, least]) => seconds >= least) ?? units[3];
  return fill(said[unit], { number: Math.floor(seconds / size).toLocaleString(locale) });
}

function clock(seconds) {
  const hours = Math.floor(seconds / 3600);
  const minutes = Math.floor((seconds % 3600) / 60);
  const rest = String(seconds % 60).padStart(2, "0");
  return hours ? `${hours}:${String(minutes).padStart(2, "0")}:${rest}` : `${minutes}:${rest}`;
}

// Relative times and countdowns tick without asking the server.
function tick() {
  said ??= wordsOf(document.body);
  const now = Date.now();
  for (const element of document.querySelectorAll("time[data-relative]")) {
    const seconds = Math.round((now - Date.parse(element.dateTime)) / 1000);
    element.textContent = seconds >= 0 && seconds < 5 ? said.justNow : fill(seconds >= 0 ? said.ago : said.in, { time: spoken(Math.abs(seconds)) });
  }
  for (const element of document.querySelectorAll("time[data-countdown]")) {
    const seconds = Math.round((Date.parse(element.dateTime) - now) / 1000);
    element.textContent = seconds > 0 ? fill(said.in, { time: clock(seconds) }) : said.dueNow;
  }
}

// By plain http from another machine there is no clipboard: what is selected is copied as by hand, and stays selected
// where that is refused too.
async function copied(source) {
  try {
    await navigator.clipboard.writeText(source.textContent);
    return true;
  } catch (error) {
    window.getSelection().selectAllChildren(source);
    return document.execCommand("copy");
  }
}

document.addEventListener("click", async (event) => {
  const copy = event.target.closest("[data-copy]");
  if (copy) {
    if (await copied(document.getElementById(copy.dataset.copy))) {
      const label = copy.textContent;
      copy.textContent = wordsOf(document.body).copied;
      setTimeout(() => { copy.textContent = label; }, 1500);
    }
  }
  const theme = event.target.closest("[data-theme-choice]");
  if (theme) {
    const choice = theme.dataset.themeChoice;
    if (choice === "system") {
      localStorage.removeItem("prx-theme");
      delete document.documentElement.dataset.theme;
    } else {
      localStorage.setItem("prx-theme", choice);
      document.documentElement.dataset.theme = choice;
    }
  }
  for (const menu of document.querySelectorAll("details.menu[open]")) {
    if (!menu.contains(event.target)) menu.open = false;
  }
});

// A dangerous button asks once, with the consequence in the question.
// One form serves the buttons of all rows: the answer goes with the very submission it was given for, and stays nowhere.
let answered = null;
document.addEventListener("submit", (event) => {
  answered = null;
  const question = event.submitter?.dataset.confirm;
  if (!question) return;
  if (!window.confirm(question)) { event.preventDefault(); return; }
  answered = event.target;
});
document.addEventListener("formdata", (event) => {
  if (event.target !== answered) return;
  answered = null;
  event.formData.set("confirmed", "1"); // the server asks by a page of its own whoever did not see the dialog
});

// Polling waits while nobody looks, and while a swap would take something from under the hand: a button that is
// pointed at, a field in use, an opened detail, selected text.
function inUse(region) {
  const selection = window.getSelection();
  const selected = selection && !selection.isCollapsed && region.contains(selection.anchorNode);
  return selected || region.querySelector(":is(a, button, summary, input, select):is(:hover, :focus-visible), details[open]");
}

document.addEventListener("htmx:beforeRequest", (event) => {
  const polled = event.target.getAttribute("hx-trigger")?.includes("every");
  // The outbox's rows are changed piece by piece: not while a row's button is pointed at.
  const aimed = document.querySelector(".row-actions :is(a, button):hover");
  if (event.target.matches("[data-badges]")) { if (inUse(event.target)) event.preventDefault(); return; } // the tab's title is for who looks elsewhere
  if (polled && (document.hidden || aimed || inUse(event.target))) event.preventDefault();
});

// A page that lives by asking says when it gets no answer: what it shows may be old.
// The element that asked: one that its answer has replaced is no longer the target.
// An answer that replaces its element is told of the element around it: the request knows who asked.
const isPoll = ({ detail, target }) =>
  (detail.requestConfig?.elt ?? detail.elt ?? target).getAttribute("hx-trigger")?.includes("every");
let answeredAt = new Date();

function stale(event) {
  if (!isPoll(event) || document.getElementById("stale")) return;
  const note = document.createElement("div");
  note.id = "stale";
  note.className = "banner";
  note.setAttribute("role", "alert");
  const time = answeredAt.toLocaleTimeString(locale, { hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23", timeZone: document.body.dataset.timeZone });
  note.textContent = fill(wordsOf(document.body).stale, { time });
  document.getElementById("main").before(note);
}

for (const name of ["htmx:responseError", "htmx:sendError", "htmx:timeout"]) document.addEventListener(name, stale);
document.addEventListener("htmx:afterRequest", (event) => {
  if (!isPoll(event) || !event.detail.successful) return;
  answeredAt = new Date();
  document.getElementById("stale")?.remove();
});

// On a phone the tabs, and the pages' names, are wider than the screen: the one that is shown is scrolled into sight,
// and nothing else moves.
document.addEventListener("DOMContentLoaded", () => {
  for (const tab of document.querySelectorAll(":is(.tabs, .topnav) a[aria-current]")) {
    const tabs = tab.parentElement;
    const shown = tab.getBoundingClientRect();
    const room = tabs.getBoundingClientRect();
    if (shown.left < room.left || shown.right > room.right) tabs.scrollLeft += shown.left - room.left - (room.width - shown.width) / 2;
  }
});

// The result of a click is where the focus goes, so that it is read out and Tab goes on from there.
document.addEventListener("DOMContentLoaded", () => {
  if (document.activeElement === document.body) document.querySelector("main > .notice[data-result]")?.focus({ preventScroll: true });
});

// What a partial update says anew: a region that comes with its words is not read out, so one that was there at load
// repeats them. Not where nothing but numbers changed, as in a countdown.
const statusRegions = () => [...document.querySelectorAll("main [role=status]")];
const statusWords = (region) => region.innerText.trim().replace(/\s+/g, " ").replace(/\p{N}+/gu, "#");
let lasting = new Set();
let saidBefore = new Set();
document.addEventListener("DOMContentLoaded", () => {
  lasting = new Set(statusRegions());
  saidBefore = new Set(statusRegions().map(statusWords));
});
document.addEventListener("htmx:afterSettle", () => {
  const regions = statusRegions();
  const news = regions.filter((region) => !lasting.has(region) && statusWords(region) && !saidBefore.has(statusWords(region)));
  saidBefore = new Set(regions.map(statusWords));
  if (news.length) document.getElementById("said").textContent = news.map((region) => region.innerText.trim().replace(/\s+/g, " ")).join(" ");
});

document.addEventListener("DOMContentLoaded", tick);
document.addEventListener("htmx:afterSwap", tick);
setInterval(tick, 1000);

// The tab's title and its icon say how much needs somebody, as the page did when it came.
document.addEventListener("htmx:afterSwap", (event) => {
  const needs = Number(event.target.closest?.("[data-badges]")?.querySelector("[data-needs]")?.dataset.needs ?? NaN);
  if (Number.isNaN(needs)) return;
  document.title = (needs ? `(${needs.toLocaleString(locale)}) ` : "") + document.title.replace(/^\(\d[^()]*\) /, "");
  const icon = document.querySelector("link[rel=icon]");
  icon.href = needs ? icon.dataset.needed : icon.dataset.calm;
});

// To choose a filter is enough; the button is for pages without scripts, and for what is typed: a day, too, which changes
// with each of its digits.
let typedInto = null;
document.addEventListener("keydown", (event) => { typedInto = event.target; });
document.addEventListener("pointerdown", () => { typedInto = null; });
document.addEventListener("change", (event) => {
  if (event.target.matches("[data-submits]") && (event.target.matches("select") || typedInto !== event.target)) event.target.form.requestSubmit();
});

// A mail goes out when its undo is over, also where its writer has gone on to another page: whoever is there asks then.
const GOES_OUT = "prx-goes-out";

function keptSends() {
  try { return JSON.parse(sessionStorage.getItem(GOES_OUT)) ?? []; } catch (error) { return []; }
}

document.addEventListener("DOMContentLoaded", () => {
  const undo = document.querySelector("form[data-goes-out]");
  const sends = keptSends();
  if (undo && !sends.some((each) => each.address === undo.dataset.goesOut)) sends.push({ address: undo.dataset.goesOut, at: Date.now() + undo.dataset.after * 1000 });
  for (const { address, at } of sends) {
    setTimeout(() => {
      sessionStorage.setItem(GOES_OUT, JSON.stringify(keptSends().filter((each) => each.address !== address)));
      if (undo?.dataset.goesOut === address) undo.remove();
      fetch(address, { credentials: "same-origin" }).catch(() => null);
    }, Math.max(0, at - Date.now()) + 500);
  }
  try { sessionStorage.setItem(GOES_OUT, JSON.stringify(sends)); } catch (error) { /* storage refused: the sweep sends it */ }
});
