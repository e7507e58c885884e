// A second click on Send does nothing; the server would make one mail of both anyway.
"use strict";

document.addEventListener("submit", (event) => {
  const form = event.target;
  if (!form.matches("[data-once]") || event.defaultPrevented) return;
  if (form.dataset.sent) event.preventDefault();
  form.dataset.sent = "yes";
});

// Ctrl+Enter (or the Command key) sends what is being written.
document.addEventListener("keydown", (event) => {
  const form = event.target.closest?.("form.compose");
  if (!form || event.key !== "Enter" || !(event.ctrlKey || event.metaKey)) return;
  event.preventDefault();
  form.requestSubmit(document.getElementById("send"));
});

// The back button brings the page as it was left: it may be sent again then.
window.addEventListener("pageshow", () => {
  for (const form of document.querySelectorAll("[data-once]")) delete form.dataset.sent;
});

// A field that lacks something is shown, also where it is folded away: the browser would send nothing and say nothing.
document.addEventListener("invalid", (event) => {
  const folded = event.target.closest("form.compose details:not([open])");
  if (folded) folded.open = true;
}, true);

// Another sender signs by another signature, where the one before it still stands as it was put there.
const signed = new WeakMap(); // the choice -> the sender whose signature stands in the text
const blockOf = (words) => (words ? `\n\n-- \n${words}\n` : "");

document.addEventListener("change", (event) => {
  const choice = event.target;
  const text = choice.form?.elements.namedItem?.("body_text");
  if (!text || !choice.matches("select[data-signatures]")) return;
  const signatures = JSON.parse(choice.dataset.signatures);
  const wordsBefore = signatures[signed.get(choice) ?? [...choice.options].find((option) => option.defaultSelected)?.value];
  const before = blockOf(wordsBefore);
  const after = blockOf(signatures[choice.value]);
  if (editors.has(text)) {
    if (editors.get(text).sign(wordsBefore ?? "", signatures[choice.value] ?? "")) signed.set(choice, choice.value);
    return;
  }
  // Not by `value`, which would set the cursor behind all that was written.
  const at = before ? text.value.indexOf(before) : -1;
  if (at >= 0) text.setRangeText(after, at, at + before.length, "preserve");
  else if (text.value === text.defaultValue) text.setRangeText(after, 0, 0, "preserve");
  else return;
  signed.set(choice, choice.value);
  text.dispatchEvent(new Event("input", { bubbles: true }));
});

// The line that stands for the folded fields of an answer says what stands in them.
document.addEventListener("input", (event) => {
  const shown = event.target.form?.querySelector?.(`.envelope [data-shows="${event.target.name}"]`);
  if (!shown) return;
  shown.textContent = event.target.selectedOptions?.[0].textContent ?? event.target.value;
  shown.parentElement.hidden = !event.target.value;
});

// A saved reply comes to where the cursor stands. Without this file the server puts it above the signature.
document.addEventListener("click", async (event) => {
  const button = event.target.closest?.('button[name="do"][value="insert"]');
  if (!button) return;
  event.preventDefault();
  const field = (name) => button.form.elements.namedItem(name);
  const choice = field("saved_reply");
  if (!choice.value) { choice.focus(); return; }
  const text = field("body_text");
  text.focus(); // what is typed before the reply is here is text, and no shortcut
  const asked = new URLSearchParams({ to: field("to").value, subject: field("subject").value, account: field("account").value });
  const response = await fetch(`${choice.dataset.address}${choice.value}/text/?${asked}`, { credentials: "same-origin" }).catch(() => null);
  if (!response?.ok || response.redirected) { button.form.requestSubmit(button); return; } // which is no click
  const reply = await response.json();
  if (editors.has(text)) { editors.get(text).insert(reply.html); return; }
  text.setRangeText(reply.text, text.selectionStart, text.selectionEnd, "end");
  text.dispatchEvent(new Event("input", { bubbles: true }));
});
