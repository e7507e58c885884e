// The editor of formatted text: ProseMirror by Tiptap, as django-prose-editor brings it. It stands in the place of the
// text's field and writes its HTML into that, which is kept, sent and brought back like any typed text.

const PICTURES = ["image/png", "image/jpeg", "image/gif"];
const LINKS = /^(?:https?:\/\/|mailto:|tel:)/i;
// An empty paragraph is sent with a line break in it, which would be a second line here.
const begun = (html) => html.replace(/<p( dir="auto")?><br><\/p>/g, "<p></p>");
const escaped = (words) => Object.assign(document.createElement("i"), { textContent: words }).innerHTML;

export function openEditor(library, { form, box, text, words, tell }) {
  const { Editor } = library;
  const panel = box.querySelector("template").content.firstElementChild.cloneNode(true);
  const toolbar = panel.querySelector("[role=toolbar]");
  const linkRow = panel.querySelector(".link-row");
  const picker = panel.querySelector("input[type=file]");
  const label = form.querySelector(`label[for="${text.id}"]`);
  label.id ||= `${text.id}-label`;
  const pictures = picturesOf(form, box);
  text.before(panel);

  const editor = new Editor({
    element: panel,
    injectCSS: false, // a style element, which our policy refuses
    extensions: extensions(library, pictures),
    content: begun(text.value),
    editorProps: {
      attributes: { class: "written", role: "textbox", "aria-multiline": "true", "aria-labelledby": label.id, "aria-describedby": text.getAttribute("aria-describedby") ?? "" },
      transformPastedHTML: (html) => withoutForeign(html),
      handleKeyDown: (view, event) => {
        if ((event.ctrlKey || event.metaKey) && event.key.toLowerCase() === "k") { event.preventDefault(); askLink(); return true; }
        return false;
      },
      handlePaste: (view, event) => {
        const files = [...event.clipboardData.files].filter((file) => PICTURES.includes(file.type));
        if (!files.length || event.clipboardData.getData("text/plain")) return false;
        attach(files);
        return true;
      },
      handleDrop: (view, event) => {
        const files = [...event.dataTransfer?.files ?? []];
        if (view.dragging) event.stopPropagation(); // what moves within the text is no file to attach, whatever the browser adds
        if (view.dragging || !files.length) return false;
        const place = view.posAtCoords({ left: event.clientX, top: event.clientY });
        if (place) editor.commands.setTextSelection(place.pos);
        awaited.push(...files.map((file) => file.name));
        return true; // the form takes the files, as it does elsewhere on it
      },
    },
    onUpdate: () => {
      text.value = editor.isEmpty ? "" : editor.getHTML();
      pictures.tick(shown());
      text.dispatchEvent(new Event("input", { bubbles: true }));
    },
    onTransaction: () => showState(),
  });

  // --- pictures: files of the mail, named by their content id
  const awaited = []; // names of files that are placed once they are attached
  const shown = () => {
    const found = new Set();
    editor.state.doc.descendants((node) => { if (node.type.name === "picture") found.add(node.attrs.src); });
    return found;
  };

  function attach(files) {
    awaited.push(...files.map((file) => file.name));
    form.dispatchEvent(new CustomEvent("prx:attach", { detail: files }));
  }

  function place(source, name) {
    const alt = name.replace(/\.[^.]*$/, "");
    editor.chain().insertContentAt(editor.state.selection.to, { type: "picture", attrs: { src: source, alt } }).run();
  }

  function attached(event) {
    for (const file of event.detail) {
      if (!file.picture) continue;
      const at = awaited.indexOf(file.name);
      if (at < 0 || shown().has(`cid:${file.picture}`)) continue;
      awaited.splice(at, 1);
      place(`cid:${file.picture}`, file.name);
    }
    offer();
  }

  // A file that is left out of the mail is no longer shown in its text.
  function unticked(event) {
    if (event.target.name !== "kept" || event.target.checked) return;
    const source = pictures.sourceOf(event.target.value);
    const places = [];
    editor.state.doc.descendants((node, at) => { if (node.attrs.src === source) places.unshift(at); });
    for (const at of places) editor.commands.deleteRange({ from: at, to: at + 1 });
  }

  function offer() {
    for (const tick of form.querySelectorAll('input[name="kept"]')) {
      const line = tick.closest("label");
      const source = pictures.sourceOf(tick.value);
      if (!source || !line || line.nextElementSibling?.matches("[data-place]")) continue;
      const button = Object.assign(document.createElement("button"), { type: "button", className: "button small quiet", textContent: words.place });
      button.dataset.place = "";
      button.addEventListener("click", () => { tick.checked = true; place(source, line.textContent.trim().replace(/ \([^()]*\)$/, "")); });
      line.after(button);
    }
  }

  // Pictures of other sites would tell who reads the mail, and when.
  function withoutForeign(html) {
    const page = new DOMParser().parseFromString(html, "text/html");
    const foreign = [...page.images].filter((image) => !pictures.address(image.getAttribute("src") ?? ""));
    for (const image of foreign) image.replaceWith(image.alt);
    if (foreign.length) tell(words.foreign);
    return page.body.innerHTML;
  }

  // --- links
  const linkField = linkRow.querySelector("input");

  function askLink() {
    linkRow.hidden = false;
    linkField.value = editor.getAttributes("link").href ?? "";
    linkField.focus();
  }

  function leaveLink() {
    linkRow.hidden = true;
    editor.view.focus();
  }

  function setLink() {
    const typed = linkField.value.trim();
    if (!typed) { removeLink(); return; }
    const href = LINKS.test(typed) ? typed : /^[^\s/:]+@[^\s/:]+$/.test(typed) ? `mailto:${typed}` : `https://${typed}`;
    if (/\s/.test(href) || (/^[a-z][a-z0-9+.-]*:/i.test(typed) && !LINKS.test(typed) && !/^[^/:]+:\d/.test(typed))) { tell(words.noAddress); return; }
    tell("");
    const isNew = editor.state.selection.empty && !editor.isActive("link");
    if (isNew) editor.commands.insertContent({ type: "text", text: typed, marks: [{ type: "link", attrs: { href } }] });
    else editor.chain().extendMarkRange("link").setLink({ href }).run();
    leaveLink();
  }

  function removeLink() {
    editor.chain().extendMarkRange("link").unsetLink().run();
    leaveLink();
  }

  linkRow.addEventListener("click", (event) => ({ set: setLink, remove: removeLink })[event.target.closest("[data-link]")?.dataset.link]?.());
  linkRow.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && event.target === linkField && !event.ctrlKey && !event.metaKey) { event.preventDefault(); setLink(); }
    if (event.key === "Escape") { event.stopPropagation(); leaveLink(); }
  });

  // --- the toolbar: one stop of Tab, arrows within (ARIA APG)
  const buttons = [...toolbar.querySelectorAll("button")];
  const acts = {
    bold: (at) => at.toggleBold(),
    italic: (at) => at.toggleItalic(),
    heading: (at) => at.toggleHeading({ level: 2 }),
    bulletList: (at) => at.toggleBulletList(),
    orderedList: (at) => at.toggleOrderedList(),
    blockquote: (at) => at.toggleBlockquote(),
    undo: (at) => at.undo(),
    redo: (at) => at.redo(),
  };
  const PRESSED = ["bold", "italic", "heading", "bulletList", "orderedList", "blockquote", "link"];

  function showState() {
    for (const button of buttons) {
      const name = button.dataset.do;
      if (PRESSED.includes(name)) button.setAttribute("aria-pressed", String(editor.isActive(name)));
      else if (acts[name]) button.setAttribute("aria-disabled", String(!editor.can()[name]()));
    }
  }

  toolbar.addEventListener("mousedown", (event) => event.preventDefault()); // what is selected stays selected
  toolbar.addEventListener("click", (event) => {
    const name = event.target.closest("button")?.dataset.do;
    if (name === "link") askLink();
    else if (name === "picture") picker.click();
    else if (name) acts[name](editor.chain()).run();
  });
  toolbar.addEventListener("keydown", (event) => {
    const forward = document.documentElement.dir === "rtl" ? "ArrowLeft" : "ArrowRight";
    const step = event.key === forward ? 1 : ["ArrowLeft", "ArrowRight"].includes(event.key) ? -1 : 0;
    if (!step) return;
    event.preventDefault();
    const next = buttons[(buttons.indexOf(document.activeElement) + step + buttons.length) % buttons.length];
    for (const button of buttons) button.tabIndex = button === next ? 0 : -1;
    next.focus();
  });
  for (const button of buttons.slice(1)) button.tabIndex = -1;
  picker.addEventListener("change", (event) => {
    event.stopPropagation();
    attach([...picker.files]);
    picker.value = "";
  });

  // --- the field it stands for: whatever focuses that comes here
  const focused = () => editor.view.focus();
  text.classList.add("visually-hidden");
  text.tabIndex = -1;
  text.setAttribute("aria-hidden", "true");
  text.addEventListener("focus", focused);
  form.addEventListener("prx:attached", attached);
  form.addEventListener("change", unticked);
  offer();
  showState();

  return {
    insert: (html) => editor.chain().insertContent(html).run(),
    sign: (before, after) => sign(editor, before, after),
    close: () => {
      form.removeEventListener("prx:attached", attached);
      form.removeEventListener("change", unticked);
      for (const button of form.querySelectorAll("[data-place]")) button.remove();
      text.removeEventListener("focus", focused);
      text.classList.remove("visually-hidden");
      text.removeAttribute("tabindex");
      text.removeAttribute("aria-hidden");
      editor.destroy();
      panel.remove();
    },
  };
}

// The pictures among the mail's files: content id -> the file's key in the form.
function picturesOf(form, box) {
  const keyOf = (source) => JSON.parse(box.dataset.pictures)[source.slice(4)];
  const boxOf = (source) => form.querySelector(`input[name="kept"][value="${CSS.escape(keyOf(source) ?? "")}"]`);
  let before = null;
  return {
    sourceOf: (key) => {
      const found = Object.entries(JSON.parse(box.dataset.pictures)).find(([, each]) => each === key);
      return found ? `cid:${found[0]}` : "";
    },
    address: (source) => {
      const key = source.startsWith("cid:") && keyOf(source);
      if (!key) return "";
      const [draft, start] = ["draft", "start"].map((name) => form.elements.namedItem(name).value);
      return `${box.dataset.picture}?${draft ? `draft=${draft}` : start}&file=${encodeURIComponent(key)}`;
    },
    // A picture that is taken out of the text does not go along as a file, and does when it comes back.
    tick: (now) => {
      for (const source of now) if (before && !before.has(source) && boxOf(source)) boxOf(source).checked = true;
      for (const source of before ?? []) if (!now.has(source) && boxOf(source)) boxOf(source).checked = false;
      before = now;
    },
  };
}

function extensions(library, pictures) {
  const { Document, Paragraph, Text, Bold, Italic, Underline, Strike, BulletList, Blockquote, HorizontalRule } = library;
  const { HardBreak, OrderedList, ListItem, Heading, Link, History, Dropcursor, Gapcursor, Node, Extension, Plugin, wrappingInputRule, pm } = library;
  const { Decoration, DecorationSet } = pm.view;
  return [
    ...[Document, Paragraph, Text, Bold, Italic, Underline, Strike, BulletList, Blockquote, HorizontalRule, History, Dropcursor, Gapcursor],
    HardBreak.extend({ addKeyboardShortcuts() { return { "Shift-Enter": () => this.editor.commands.setHardBreak() }; } }), // Ctrl+Enter sends
    OrderedList.extend({ addInputRules() { return [wrappingInputRule({ find: /^\d{1,3}\.\s$/, type: this.type })]; } }), // "1. " begins one
    // Tab leaves the editor, as it leaves any field.
    ListItem.extend({
      addKeyboardShortcuts() {
        const by = (name) => () => this.editor.commands[name](this.name);
        return { Enter: by("splitListItem"), "Mod-]": by("sinkListItem"), "Mod-[": by("liftListItem") };
      },
    }),
    Heading.configure({ levels: [1, 2, 3] }),
    Link.configure({ openOnClick: false, defaultProtocol: "https", isAllowedUri: (url) => LINKS.test(url), HTMLAttributes: { target: null, rel: null, class: null } }),
    Node.create({
      name: "picture",
      group: "inline",
      inline: true,
      draggable: true,
      addAttributes: () => ({ src: { default: "" }, alt: { default: "" } }),
      parseHTML: () => [{ tag: "img", getAttrs: (image) => (pictures.address(image.getAttribute("src") ?? "") ? null : false) }],
      renderHTML: ({ HTMLAttributes }) => ["img", HTMLAttributes],
      addNodeView: () => ({ node }) => {
        const dom = Object.assign(document.createElement("img"), { src: pictures.address(node.attrs.src), alt: node.attrs.alt });
        return { dom };
      },
    }),
    // Each outermost block is written from its first letter's side, as it is sent.
    Extension.create({
      name: "directions",
      addProseMirrorPlugins: () => [new Plugin({
        props: {
          decorations: ({ doc }) => {
            const all = [];
            doc.forEach((node, at) => all.push(Decoration.node(at, at + node.nodeSize, { dir: "auto" })));
            return DecorationSet.create(doc, all);
          },
        },
      })],
    }),
  ];
}

// Another sender's signature in place of the one before it, where that still stands as it was put there.
function sign(editor, before, after) {
  const html = after ? `<p>-- <br>${after.split("\n").map(escaped).join("<br>")}</p>` : "";
  const blocks = [];
  editor.state.doc.forEach((node, at) => blocks.push([at, at + node.nodeSize]));
  const bare = (words) => words.replace(/\s+/g, " ").trim();
  const asked = bare(`-- ${before}`);
  for (let first = 0; before && first < blocks.length; first += 1) {
    for (let last = first; last < blocks.length; last += 1) {
      const [from, to] = [blocks[first][0], blocks[last][1]];
      const found = bare(editor.state.doc.textBetween(from, to, "\n", "\n"));
      if (found === asked) return editor.commands.insertContentAt({ from, to }, html || "<p></p>", { updateSelection: false });
      if (!asked.startsWith(found)) break;
    }
  }
  return editor.isEmpty && html ? editor.commands.insertContentAt(editor.state.doc.content.size, html, { updateSelection: false }) : false;
}
