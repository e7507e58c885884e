// Formatted writing. The editor is fetched when it is asked for, or when what stands here was written in it.
// Without this file one writes plain text, Markdown or HTML.
"use strict";

const editors = new WeakMap(); // the text's field -> its editor, for the scripts that write into the text

async function textAs(format, form, address) {
  const body = new FormData();
  for (const name of ["csrfmiddlewaretoken", "text_format", "body_text"]) body.set(name, form.elements.namedItem(name).value);
  body.set("to", format);
  const response = await fetch(address, { method: "POST", body, credentials: "same-origin", redirect: "manual" });
  if (!response.ok) throw new Error(`${response.status}`);
  return (await response.json()).text;
}

function styled(href) {
  if (document.querySelector(`link[href="${href}"]`)) return null;
  const sheet = Object.assign(document.createElement("link"), { rel: "stylesheet", href });
  return new Promise((done, failed) => {
    sheet.addEventListener("load", done);
    sheet.addEventListener("error", () => { sheet.remove(); failed(new Error(href)); });
    document.head.append(sheet);
  });
}

function prepareFormatting() {
  const box = document.querySelector("form.compose [data-formatting][hidden]");
  if (!box) return;
  const form = box.closest("form");
  const text = form.elements.namedItem("body_text");
  const format = form.elements.namedItem("text_format");
  const button = box.querySelector("[data-formatted]");
  const words = wordsOf(box);
  const tell = (said) => { box.querySelector("[data-said]").textContent = said; };
  let isTurning = false;

  // What is typed while the site answers is turned too.
  async function turned(to) {
    for (;;) {
      const typed = text.value;
      const other = await textAs(to, form, box.dataset.convert);
      if (text.value === typed) return other;
    }
  }

  function show() {
    const isFormatted = editors.has(text);
    button.setAttribute("aria-pressed", String(isFormatted));
    form.querySelector("[data-without-editor]").hidden = isFormatted || !format.value;
  }

  async function open(isAsked) {
    const [{ openEditor }, library] = await Promise.all([import(box.dataset.editor), import(box.dataset.library), styled(box.dataset.style)]);
    if (format.value !== "html") { text.value = await turned("html"); format.value = "html"; }
    const hadFocus = document.activeElement === text;
    editors.set(text, openEditor(library, { form, box, text, words, tell }));
    if (isAsked || hadFocus) text.focus();
  }

  async function close() {
    if (/<(?!\/|(?:p|br|blockquote)\b)/.test(text.value) && !window.confirm(words.loses)) return;
    const plain = await turned("");
    editors.get(text).close();
    editors.delete(text);
    text.value = plain;
    format.value = "";
    text.focus();
  }

  async function turn(isAsked) {
    if (isTurning) return;
    isTurning = true;
    button.setAttribute("aria-busy", "true");
    tell("");
    try {
      await (editors.has(text) ? close() : open(isAsked));
      if (isAsked) text.dispatchEvent(new Event("input", { bubbles: true }));
    } catch (error) { tell(words.failed); }
    isTurning = false;
    button.removeAttribute("aria-busy");
    show();
  }

  form.addEventListener("prx:attached", ({ detail }) => {
    const keys = JSON.parse(box.dataset.pictures); // content id -> the file's key in the form
    for (const file of detail) if (file.picture) keys[file.picture] = file.key;
    box.dataset.pictures = JSON.stringify(keys);
  });
  box.hidden = false;
  button.addEventListener("click", () => turn(true));
  format.addEventListener("change", show);
  show();
  // Back and a reload bring the values of the fields, after the page was read.
  const resume = () => { if (format.value === "html" && !editors.has(text)) turn(false); else show(); };
  if (document.readyState === "complete") resume();
  window.addEventListener("pageshow", resume);
}

for (const name of ["DOMContentLoaded", "prx:writing"]) document.addEventListener(name, prepareFormatting);
