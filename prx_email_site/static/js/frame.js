// The frame of a mail is as high as the mail. Its own document has no origin and cannot be asked, so that a hidden frame
// beside it, as wide, shows the same and is measured. Without this file the mail scrolls within its frame.
"use strict";

const HIGHEST = 30000; // pixels; a mail may claim any height, and scrolls within its frame beyond this
const SCROLLBAR = 18;

function fit(frame, probe) {
  const root = probe.contentDocument?.documentElement;
  if (!root?.scrollHeight) return;
  const bar = root.scrollWidth > root.clientWidth ? SCROLLBAR : 2;
  frame.style.height = `${Math.min(HIGHEST, root.scrollHeight + bar)}px`;
}

document.addEventListener("DOMContentLoaded", () => {
  for (const frame of document.querySelectorAll("iframe[data-measured]")) {
    const probe = document.createElement("iframe");
    probe.className = "mail-measure";
    probe.setAttribute("sandbox", "allow-same-origin");
    probe.setAttribute("aria-hidden", "true");
    probe.tabIndex = -1;
    probe.title = frame.title;
    probe.src = frame.dataset.measured;
    probe.addEventListener("load", () => new ResizeObserver(() => fit(frame, probe)).observe(probe));
    frame.after(probe);
  }
});
