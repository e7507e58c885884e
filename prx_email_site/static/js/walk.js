// Next and previous within the list one came from, kept for this tab. Without this file the browser's Back does it.
"use strict";

const LIST = "prx-walk"; // {url, links: of its rows in their order, pages: link -> the page of the list, older, at}

function listKept() {
  try { return JSON.parse(sessionStorage.getItem(LIST)); } catch (error) { return null; }
}

function keepList(list) {
  try { sessionStorage.setItem(LIST, JSON.stringify(list)); } catch (error) { /* storage refused: no next, no previous */ }
}

const pathOf = (address) => new URL(address, location.href).pathname;
const linksIn = (page) => [...page.querySelectorAll("table.messages td.subject a[href]")].map((link) => pathOf(link.getAttribute("href")));

function olderIn(page, base) {
  const link = page.querySelector("nav.pager a[data-older]");
  return link ? new URL(link.getAttribute("href"), base).href : "";
}

// A list: what it holds is kept when one goes, and the row one came from is found again.
function keepThisList() {
  const before = listKept();
  const list = { url: location.href, links: linksIn(document), pages: {}, older: olderIn(document, location.href) };
  if (before?.at && list.links.includes(before.at)) {
    const row = [...document.querySelectorAll("table.messages td.subject a[href]")].find((link) => pathOf(link.href) === before.at);
    row.closest("tr").classList.add("at-hand");
    row.scrollIntoView({ block: "nearest" });
  }
  document.addEventListener("click", (event) => {
    if (event.target.closest("table.messages td.subject a[href]")) keepList(list);
  });
}

// The page after the last kept one, once somebody goes beyond it.
async function fetchOlder(list) {
  const response = await fetch(list.older, { credentials: "same-origin" });
  if (!response.ok || response.redirected) return false;
  const page = new DOMParser().parseFromString(await response.text(), "text/html");
  const fresh = linksIn(page).filter((link) => !list.links.includes(link));
  for (const link of fresh) list.pages[link] = list.older;
  list.older = olderIn(page, list.older);
  list.links.push(...fresh);
  keepList(list);
  return fresh.length > 0;
}

function showWalk(nav) {
  const list = listKept();
  if (!list) return;
  const here = nav.dataset.walk || location.pathname;
  const at = list.links.indexOf(here);
  if (at < 0) return;
  list.at = here;
  keepList(list);
  const words = wordsOf(nav);
  const link = (href, text, step) => {
    const made = document.createElement("a");
    made.className = "button small";
    made.dataset.step = step;
    made.href = href;
    made.textContent = text;
    return made;
  };
  nav.replaceChildren(link(list.pages[here] ?? list.url, words.back, "back"));
  if (at > 0) nav.append(link(list.links[at - 1], words.previous, "previous"));
  if (at + 1 < list.links.length) nav.append(link(list.links[at + 1], words.next, "next"));
  else if (list.older) {
    const further = link(list.older, words.next, "next");
    further.addEventListener("click", async (event) => {
      event.preventDefault();
      if (await fetchOlder(list)) location.assign(list.links[at + 1]); else showWalk(nav);
    });
    nav.append(further);
  }
  nav.hidden = false;
}

// An answer leads back to the list, to the mail after the one that is answered.
const answering = () => document.querySelector("form.compose[data-answers]");

document.addEventListener("prx:writing", async () => {
  const list = listKept();
  if (list?.older && list.links.at(-1) === answering()?.dataset.answers) await fetchOlder(list).catch(() => false);
});

document.addEventListener("submit", (event) => {
  const list = listKept();
  const form = answering();
  const at = list && form === event.target ? list.links.indexOf(form.dataset.answers) : -1;
  if (at < 0 || event.submitter?.name === "do") return; // it goes on being written
  list.at = list.links[at + 1] ?? list.links[at];
  keepList(list);
  const back = new URL(list.pages[list.at] ?? list.url);
  form.elements.namedItem("next").value = back.pathname + back.search;
});

document.addEventListener("DOMContentLoaded", () => {
  const nav = document.querySelector("nav[data-walk]");
  if (nav) showWalk(nav);
  else if (document.querySelector("table.messages")) keepThisList();
});
