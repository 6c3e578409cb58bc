// Comments with less walking about. Everything here works without it: it brings the form into the page, previews as
// you type, keeps a draft in this browser, shows a comment once it is posted, and works for one that looks suspicious.
// Nothing is loaded from, or told to, anybody else.
"use strict";
(() => {
  const AWAY = "The comment form does not answer just now. Your words are kept in this browser: try again in a minute.";
  const one = (selector, inside = document) => inside.querySelector(selector);
  // A form with a field of that name has no other `action`.
  const place = (form) => new URL(form.getAttribute("action"), location);
  const page = async (url, body) => {
    const how = body ? { method: "POST", body: new URLSearchParams(body) } : {};
    const answer = await fetch(url, { ...how, signal: AbortSignal.timeout(30000) });
    return { answer, made: new DOMParser().parseFromString(await answer.text(), "text/html") };
  };
  const make = (name, words, values) => Object.assign(document.createElement(name), { textContent: words }, values);
  const tell = (box, words) => {
    one(".notice", box)?.remove();
    const notice = make("div", "", { className: "notice bad", role: "alert" });
    notice.append(make("p", words));
    box.prepend(notice);
  };

  // A draft stays in this browser until the comment is posted.
  const draft = (post, text) => {
    const key = `draft ${post}`;
    try {
      if (text === undefined) return JSON.parse(localStorage.getItem(key)) || [];
      text ? localStorage.setItem(key, JSON.stringify(text)) : localStorage.removeItem(key);
    } catch {}
    return [];
  };
  const post = (form) => place(form).searchParams.get("post");

  // What the server makes of the words, a moment after the last key.
  const preview = async (form) => {
    const words = form.elements.body.value;
    if (!words.trim()) return one(".live", form)?.remove();
    const body = new FormData(form);
    body.set("action", "preview");
    body.set("email", "");
    body.delete("notify");
    if (!form.elements.author.value.trim()) body.set("author", "…");
    const { made } = await page(place(form), body);
    const shown = one(".preview[aria-labelledby=preview]", made);
    if (!shown || form.elements.body.value !== words) return;
    shown.classList.add("live");
    shown.removeAttribute("role");
    shown.removeAttribute("aria-labelledby");
    const old = one(".live", form);
    old ? old.replaceWith(shown) : one(".actions", form).before(shown);
  };
  const follow = (form) => {
    const { author, body } = form.elements;
    const [name, words] = draft(post(form));
    author.value ||= name || "";
    body.value ||= words || "";
    let later;
    form.addEventListener("input", () => {
      draft(post(form), [author.value, body.value]);
      clearTimeout(later);
      later = setTimeout(() => preview(form).catch(() => {}), 600);
    });
  };

  // ALTCHA's work: a number with which a derived key begins as asked.
  const bytes = (hex) => Uint8Array.from(hex.match(/../g), (pair) => parseInt(pair, 16));
  const work = async (form) => {
    const challenge = JSON.parse(form.dataset.work);
    const { nonce, salt, cost, keyLength, keyPrefix } = challenge.parameters;
    const how = { name: "PBKDF2", hash: "SHA-256", salt: bytes(salt), iterations: cost };
    const start = bytes(nonce);
    const word = new Uint8Array(start.length + 4);
    word.set(start);
    form.hidden = false;
    for (let counter = 0; ; counter++) {
      new DataView(word.buffer).setUint32(start.length, counter);
      const key = await crypto.subtle.importKey("raw", word, "PBKDF2", false, ["deriveBits"]);
      const made = new Uint8Array(await crypto.subtle.deriveBits(how, key, keyLength * 8));
      const derivedKey = Array.from(made, (byte) => byte.toString(16).padStart(2, "0")).join("");
      if (derivedKey.startsWith(keyPrefix)) {
        form.elements.altcha.value = btoa(JSON.stringify({ challenge, solution: { counter, derivedKey } }));
        return;
      }
    }
  };

  const show = (instead, made, parent) => {
    const notice = one(".notice", made);
    const comment = one(".own .comment", made);
    const old = comment && document.getElementById(comment.id);
    if (old) old.replaceWith(comment);
    else if (comment) {
      const item = parent && document.getElementById(`comment-${parent}`);
      const home = item || one(".thread");
      let list = one(":scope > .comments", home);
      if (!list) {
        list = make("ol", "", { className: "comments" });
        one(item ? ":scope > article" : "h2", home).after(list);
      }
      list.append(comment);
    }
    instead.replaceWith(notice);
    notice.tabIndex = -1;
    notice.focus();
    return notice;
  };

  const send = async (form) => {
    const body = new FormData(form);
    body.set("action", "post");
    const { answer, made } = await page(place(form), body);
    if (answer.redirected) {
      draft(post(form), null);
      const parent = place(form).searchParams.get("parent");
      const notice = show(form, made, parent);
      const task = one("[data-work]", made);
      if (!task || !crypto.subtle) return;
      notice.after(task);
      await work(task);
      const done = await page(task.getAttribute("action"), new FormData(task));
      task.remove();
      show(notice, done.made, parent);
      return;
    }
    const again = one("#comment-form", made);
    if (!again) return tell(form, one("main p", made)?.textContent || AWAY);
    form.replaceWith(again);
    ready(again, form.opener, made);
    (one("[aria-invalid]", again) || again.elements.body).focus();
  };

  // A form from a page of its own, with what that page says of it: its title, and what is wrong.
  const ready = (form, opener, made) => {
    form.opener = opener;
    const problem = one("main > .notice.bad", made);
    if (problem) form.prepend(problem);
    form.prepend(make("h3", one("h1", made).textContent, { id: "form-title" }));
    form.setAttribute("aria-labelledby", "form-title");
    const close = make("button", "Close", { type: "button", className: "secondary" });
    close.addEventListener("click", () => {
      form.remove();
      opener.focus();
    });
    one(".actions", form).append(close);
    follow(form);
    form.addEventListener("submit", async (event) => {
      event.preventDefault();
      if (event.submitter?.value === "preview") return preview(form).catch(() => tell(form, AWAY));
      if (form.ariaBusy) return;
      form.ariaBusy = "true";
      await send(form).catch(() => form.isConnected && tell(form, AWAY));
      form.ariaBusy = null;
    });
  };

  document.addEventListener("click", async (event) => {
    const link = event.target.closest?.(".say .button, .comment a.reply");
    if (!link || event.ctrlKey || event.metaKey || event.shiftKey || event.altKey) return;
    event.preventDefault();
    const old = one("#comment-form");
    if (old?.opener === link) return old.elements.body.focus();
    const found = await page(link.href).catch(() => ({}));
    const form = found.made && one("#comment-form", found.made);
    if (!form) {
      // A page that says why, or one that can't be reached: this one stays, with what stands in it.
      if (found.answer && found.answer.status < 500) return void (location = link.href);
      const box = one("#comment-away") || make("div", "", { id: "comment-away" });
      link.parentNode.after(box);
      return tell(box, AWAY);
    }
    one("#comment-away")?.remove();
    if (old) for (const name of ["author", "email", "body"]) form.elements[name].value = old.elements[name].value;
    old?.remove();
    link.parentNode.after(form);
    ready(form, link, found.made);
    (form.elements.author.value ? form.elements.body : form.elements.author).focus();
  });

  // On the form's own page, and on the one after it.
  const here = one("main > #comment-form");
  if (here) follow(here);
  if (location.pathname.endsWith("/received")) draft(new URLSearchParams(location.search).get("post"), null);
  const task = one("[data-work]");
  if (task && crypto.subtle) work(task).then(() => task.submit());
})();
