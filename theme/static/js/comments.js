// Comments with less walking about. Everything here works without it: it brings the form into the page, previews
// as you type, keeps a draft in this browser, shows a comment once it is posted, and works for one that looks
// suspicious. Nothing is loaded from, or told to, anybody else.
"use strict";
(() => {
  const one = (selector, inside = document) => inside.querySelector(selector);
  const page = async (url, body) => {
    const answer = await fetch(url, body ? { method: "POST", body: new URLSearchParams(body) } : {});
    return { answer, page: new DOMParser().parseFromString(await answer.text(), "text/html") };
  };

  // A draft stays in this browser until the comment is posted.
  const place = (form) => `draft ${new URL(form.action).searchParams.get("post")}`;
  const keep = (form) => {
    try {
      const { author, body } = form.elements;
      localStorage.setItem(place(form), JSON.stringify([author.value, body.value]));
    } catch {}
  };
  const bring = (form) => {
    try {
      const [author, body] = JSON.parse(localStorage.getItem(place(form)) || "[]");
      form.elements.author.value ||= author || "";
      form.elements.body.value ||= body || "";
    } catch {}
  };
  const forget = (form) => {
    try {
      localStorage.removeItem(place(form));
    } catch {}
  };

  // What the server makes of the words, a moment after the last key.
  const preview = async (form) => {
    const words = form.elements.body.value;
    if (!words.trim()) return one(".live", form)?.remove();
    const body = new FormData(form);
    body.set("action", "preview");
    if (!form.elements.author.value.trim()) body.set("author", "…");
    body.set("email", "");
    body.delete("notify");
    const made = await page(form.action, body);
    const shown = one(".preview[aria-labelledby=preview]", made.page);
    if (!shown || form.elements.body.value !== words) return;
    shown.classList.add("live");
    shown.removeAttribute("aria-labelledby");
    shown.removeAttribute("role");
    const old = one(".live", form);
    old ? old.replaceWith(shown) : one(".actions", form).before(shown);
  };

  // ALTCHA's work: a number with which a derived key starts as asked.
  const bytes = (hex) => Uint8Array.from(hex.match(/../g), (pair) => parseInt(pair, 16));
  const hex = (buffer) => Array.from(new Uint8Array(buffer), (byte) => byte.toString(16).padStart(2, "0")).join("");
  const work = async (form) => {
    const challenge = JSON.parse(form.dataset.work);
    const { nonce, salt, cost, keyLength, keyPrefix } = challenge.parameters;
    form.hidden = false;
    for (let counter = 0; ; counter++) {
      const start = bytes(nonce);
      const word = new Uint8Array(start.length + 4);
      word.set(start);
      new DataView(word.buffer).setUint32(start.length, counter);
      const key = await crypto.subtle.importKey("raw", word, "PBKDF2", false, ["deriveBits"]);
      const how = { name: "PBKDF2", hash: "SHA-256", salt: bytes(salt), iterations: cost };
      const derivedKey = hex(await crypto.subtle.deriveBits(how, key, keyLength * 8));
      if (derivedKey.startsWith(keyPrefix)) {
        form.elements.altcha.value = btoa(JSON.stringify({ challenge, solution: { counter, derivedKey } }));
        return;
      }
    }
  };
  const worked = (form) => form && crypto.subtle && work(form);

  const show = (form, made, parent) => {
    const notice = one(".notice", made);
    const comment = one(".own .comment", made);
    const old = comment && document.getElementById(comment.id);
    if (old) old.replaceWith(comment);
    else if (comment) {
      const item = parent && document.getElementById(`comment-${parent}`);
      const home = item || one(".thread") || form.parentNode;
      let list = one(":scope > .comments", home);
      if (!list) {
        list = document.createElement("ol");
        list.className = "comments";
        const after = item ? one(":scope > article", home) : one("h2", home);
        after ? after.after(list) : home.prepend(list);
      }
      list.append(comment);
    }
    form.replaceWith(notice);
    notice.tabIndex = -1;
    notice.focus();
    return notice;
  };

  const send = async (form) => {
    const parent = new URL(form.action).searchParams.get("parent");
    const body = new FormData(form);
    body.set("action", "post");
    const { answer, page: made } = await page(form.action, body);
    if (!answer.redirected) {
      const again = one("#comment-form", made);
      if (!again) return form.submit();
      const problem = one(".notice.bad", made);
      form.replaceWith(again);
      if (problem) again.prepend(problem);
      ready(again);
      (one("[aria-invalid]", again) || again.elements.body).focus();
      return;
    }
    forget(form);
    const notice = show(form, made, parent);
    const task = one("[data-work]", made);
    if (task && crypto.subtle) {
      notice.after(task);
      await work(task);
      const done = await page(task.action, new FormData(task));
      task.remove();
      show(notice, done.page, parent);
    }
  };

  const ready = (form) => {
    bring(form);
    let later;
    form.addEventListener("input", () => {
      keep(form);
      clearTimeout(later);
      later = setTimeout(() => preview(form).catch(() => {}), 600);
    });
    let sending = false;
    form.addEventListener("submit", (event) => {
      if (event.submitter?.value === "preview") {
        event.preventDefault();
        preview(form).catch(() => {});
        return;
      }
      event.preventDefault();
      if (sending) return;
      sending = true;
      send(form).catch(() => form.submit());
    });
  };

  document.addEventListener("click", async (event) => {
    const link = event.target.closest?.(".say .button, .comment a.reply");
    if (!link || event.ctrlKey || event.metaKey || event.shiftKey || event.button) return;
    event.preventDefault();
    try {
      const form = one("#comment-form", (await page(link.href)).page);
      if (!form) throw new Error("no form");
      one("#comment-form")?.remove();
      link.parentNode.after(form);
      ready(form);
      form.elements.author.focus();
    } catch {
      location = link.href;
    }
  });

  const here = one("main > #comment-form");
  if (here) {
    bring(here);
    here.addEventListener("input", () => keep(here));
  }
  if (one(".notice[role=status]") && location.pathname.endsWith("/received")) {
    const post = new URLSearchParams(location.search).get("post");
    try {
      localStorage.removeItem(`draft ${post}`);
    } catch {}
  }
  const task = one("[data-work]");
  worked(task)?.then(() => task.submit());
})();
