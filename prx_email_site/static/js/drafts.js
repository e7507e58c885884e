// Drafts keep themselves a moment after the last key; files are looked at before they travel.
// Without this file "Save draft" does the first, and the server the second.
"use strict";

function keepDrafts() {
  const form = document.querySelector("form[data-autosave]");
  if (!form) return;
  const state = document.getElementById("draft-state");
  const words = wordsOf(form);
  const field = (name) => form.elements.namedItem(name);
  const picker = field("attachments");
  const texts = ["to", "cc", "bcc", "subject", "body_text", "text_format", "send_at"];
  const boxesOf = (name) => [...form.querySelectorAll(`input[name="${name}"]`)];
  const boxes = (name) => boxesOf(name).filter((box) => box.type === "hidden" || box.checked).map((box) => box.value);
  const typed = () => JSON.stringify([texts.map((name) => field(name)?.value), boxes("refused"), boxes("without")]);
  let kept = typed();
  let timer = 0;
  let saving = null;
  let underWay = ""; // what the save that runs holds
  let stopped = false;
  let leaving = false;
  let unanswered = false; // the newest save got no answer: a mail that is sent now would get none either
  let asking = false; // whether the site answers, before a mail is sent
  let asked = false; // and it did
  const page = [...crypto.getRandomValues(new Uint32Array(4))].map((part) => part.toString(36)).join("");
  let leftPage = 0; // how often the form left this page, by a save or a button

  // What is left at leaving does not wait for the save before it, so the server may get the two in any order: it goes by the number.
  form.addEventListener("formdata", (event) => {
    event.formData.set("page", page);
    event.formData.set("page_save", ++leftPage);
  });

  function tell(words) { state.textContent = words; }

  // Whoever signed in again in another tab has another token: this page takes it over.
  async function freshToken() {
    const response = await fetch(location.href, { credentials: "same-origin", redirect: "manual" });
    if (!response.ok) return false;
    const fresh = new DOMParser().parseFromString(await response.text(), "text/html").querySelector("input[name=csrfmiddlewaretoken]");
    if (!fresh) return false;
    field("csrfmiddlewaretoken").value = fresh.value;
    document.body.setAttribute("hx-headers", JSON.stringify({ "X-CSRFToken": fresh.value }));
    return true;
  }

  // Texts outlive the page they were typed on ("keepalive"), up to what browsers carry on for a page that is gone.
  async function post(withFiles, isSecondTry = false) {
    const body = new FormData(form);
    if (!withFiles) body.delete("attachments");
    const travelling = withFiles ? waiting.length : 0;
    const before = typed();
    underWay = before;
    const keepalive = !withFiles && new TextEncoder().encode(before).length < 50000;
    // A site that has not taken a text after so long is away: whoever presses Send is told so, and does not wait for the network.
    const limit = new AbortController();
    const alarm = withFiles ? 0 : setTimeout(() => limit.abort(), 20000);
    const response = await fetch(form.dataset.autosave, { method: "POST", body, redirect: "manual", credentials: "same-origin", keepalive, signal: limit.signal });
    clearTimeout(alarm);
    if (response.status === 403 && !isSecondTry && await freshToken()) return post(withFiles, true);
    if (response.type === "opaqueredirect" || response.status === 403) {
      tell(words.signedOut);
      return false;
    }
    if (response.status === 204) return true;
    const answer = await response.json();
    if (response.status === 409) { stopped = true; tell(answer.said); return false; }
    if (!response.ok) { tell(answer.said); return false; }
    field("draft").value = answer.draft;
    field("version").value = Math.max(field("version").value, answer.version);
    kept = before;
    // Whoever signs in again, or reloads, comes back to the draft.
    const address = new URLSearchParams(form.closest("#answer") ? location.search : "");
    address.set("draft", answer.draft);
    address.set("key", field("idempotency_key").value);
    history.replaceState(null, "", `${location.pathname}?${address}`);
    const time = new Date().toLocaleTimeString(locale, { hour: "2-digit", minute: "2-digit", hourCycle: "h23", timeZone: document.body.dataset.timeZone });
    tell(fill(words.kept, { time }));
    if (withFiles) {
      waiting.splice(0, travelling);
      show(answer.files);
      form.dispatchEvent(new CustomEvent("prx:attached", { detail: answer.files }));
      for (const file of answer.refused) refuse(file, file.reason, file.value);  // by the server, which decides
      refused.hidden = !refused.querySelector("li");
    }
    return true;
  }

  // One save at a time: each begins from the version the one before it got.
  function save(withFiles = false) {
    clearTimeout(timer);
    if (stopped || form.dataset.sent) return saving ?? Promise.resolve(false);
    const wait = saving ?? Promise.resolve();
    const mine = (leaving ? post(withFiles) : wait.then(() => post(withFiles))).then(
      (isKept) => { unanswered = false; return isKept; },
      () => { unanswered = true; tell(words.noAnswer); later(10000); return false; },
    );
    saving = mine;
    mine.finally(() => { if (saving === mine) { saving = null; underWay = ""; } });
    return mine;
  }

  function later(milliseconds = 1500) {
    clearTimeout(timer);
    timer = setTimeout(() => save(), milliseconds);
  }

  form.addEventListener("input", (event) => {
    if (event.target !== picker && typed() !== kept) later();
  });
  const isUnsaved = () => form.isConnected && typed() !== kept && typed() !== underWay;
  document.addEventListener("visibilitychange", () => { if (document.hidden && isUnsaved()) save(); });
  // Nothing runs here any more once the page is left, so it does not wait for the save before it.
  window.addEventListener("pagehide", () => {
    if (!isUnsaved()) return;
    leaving = true;
    save();
    leaving = false;
  });
  // Who discards the draft wants nothing kept of it, and is asked about what stands there.
  form.querySelector("[data-discards]")?.addEventListener("click", () => { stopped = true; });
  // A form that is sent to a site that does not answer is gone: the browser's own page stands in its place, and Back
  // leads past it. So what was typed last is kept first, and where that gets no answer the page stays as it is.
  form.addEventListener("submit", async (event) => {
    clearTimeout(timer);
    const isSafe = asked || (typed() === kept && !unanswered && navigator.onLine);
    asked = false;
    if (isSafe || stopped || form.dataset.sent) return;
    event.preventDefault();
    if (asking) return;
    asking = true;
    await save();
    asking = false;
    if (unanswered) { tell(words.notSent); return; }
    asked = true;
    form.requestSubmit(event.submitter);
    asked = false; // if a field that lacks something held it back
  });
  window.addEventListener("beforeunload", (event) => { if (unanswered && isUnsaved() && !form.dataset.sent) event.preventDefault(); });

  // --- files
  const zone = form.querySelector(".drop");
  const refused = form.querySelector("[data-refused]");
  const largest = Number(picker?.dataset.largest);
  const types = new Set((picker?.dataset.types ?? "").split(" "));

  function objection(file) {
    if (file.size > largest) {
      return fill(words.tooLarge, { size: Math.ceil(file.size / 1048576), most: Math.floor(largest / 1048576) });
    }
    if (file.type && !types.has(file.type.toLowerCase().split(";")[0])) {
      return fill(words.wrongType, { type: file.type });
    }
    return "";
  }

  // A refused file stays in sight, and its box is required: the browser does not send the mail before it is ticked.
  function refuse(file, reason, value = `${file.name.slice(0, 255)}\t${reason.slice(0, 300)}`) {
    if (boxesOf("refused").some((box) => box.value === value)) return;
    const item = document.createElement("li");
    const kept = Object.assign(document.createElement("input"), { type: "hidden", name: "refused", value });
    const name = document.createElement("strong");
    name.dir = "auto";
    name.textContent = file.name;
    const label = document.createElement("label");
    label.className = "check";
    label.append(Object.assign(document.createElement("input"), { type: "checkbox", name: "without", value, required: true }), ` ${words.without}`);
    item.append(kept, name, `: ${reason} `, label);
    refused.querySelector("ul").append(item);
  }

  const stem = (name) => name.replace(/\.[^.]*$/, "").toLowerCase();

  // Another file of the same name but its ending stands for the refused one.
  function replaced(file) {
    for (const item of refused.querySelectorAll("li")) {
      if (stem(item.querySelector("strong").textContent) === stem(file.name)) item.remove();
    }
  }

  const waiting = []; // files that have not travelled yet: more may come while others are under way

  function fillPicker() {
    const carried = new DataTransfer();
    for (const file of waiting) carried.items.add(file);
    picker.files = carried.files;
  }

  function take(files) {
    const before = waiting.length;
    for (const file of files) {
      const objected = objection(file);
      if (objected) { refuse(file, objected); continue; }
      replaced(file);
      waiting.push(file);
    }
    refused.hidden = !refused.querySelector("li");
    fillPicker();
    if (waiting.length > before) { tell(words.attaching); save(true); } else if (!refused.hidden) later();
  }

  // What is attached already is ticked in the list and no longer in the picker, or it would go out twice.
  function show(files) {
    fillPicker();
    let list = form.querySelector("#attached");
    if (!list) {
      list = document.createElement("fieldset");
      list.id = "attached";
      list.className = "attached";
      const legend = document.createElement("legend");
      legend.textContent = words.attached;
      list.append(legend);
      zone.before(list);
    }
    for (const file of files) {
      if (form.querySelector(`input[name="kept"][value="${CSS.escape(file.key)}"]`)) continue;
      const label = document.createElement("label");
      const box = document.createElement("input");
      Object.assign(box, { type: "checkbox", name: "kept", value: file.key, checked: true });
      label.append(box, ` ${file.label}`);
      list.append(label);
    }
  }

  if (!picker || !zone) return;
  form.addEventListener("prx:attach", (event) => take(event.detail));
  picker.addEventListener("change", () => take([...picker.files]));
  for (const name of ["dragenter", "dragover"]) {
    form.addEventListener(name, (event) => {
      if (!event.dataTransfer?.types.includes("Files")) return;
      event.preventDefault();
      zone.classList.add("over");
    });
  }
  form.addEventListener("dragleave", (event) => { if (!form.contains(event.relatedTarget)) zone.classList.remove("over"); });
  form.addEventListener("drop", (event) => {
    if (!event.dataTransfer?.files.length) return;
    event.preventDefault();
    zone.classList.remove("over");
    take(event.dataTransfer.files);
  });
}

for (const name of ["DOMContentLoaded", "prx:writing"]) document.addEventListener(name, keepDrafts); // at load, and when a form is opened in a page
