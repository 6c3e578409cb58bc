// The moderation queue by keyboard: it presses the buttons that are on the page. Nothing needs it.
"use strict";
(() => {
  const cards = [...document.querySelectorAll(".queue .card")];
  const use = document.getElementById("use-keys");
  try {
    use.checked = localStorage.getItem("owner keys") !== "no";
  } catch {}
  use?.addEventListener("change", () => {
    try {
      localStorage.setItem("owner keys", use.checked ? "yes" : "no");
    } catch {}
  });
  const verbs = { a: "approve", r: "reject", s: "spam", d: "delete" };
  const go = (by) => {
    const at = cards.indexOf(document.activeElement?.closest(".card"));
    const to = cards[at < 0 ? 0 : Math.min(cards.length - 1, Math.max(0, at + by))];
    to?.focus();
    to?.scrollIntoView({ block: "center" });
  };
  document.addEventListener("keydown", (event) => {
    const typing = event.target.closest("input:not([type=checkbox]), textarea, select");
    if (event.ctrlKey || event.metaKey || event.altKey || typing || (use && !use.checked)) return;
    const card = document.activeElement?.closest(".card");
    const verb = Object.hasOwn(verbs, event.key) && verbs[event.key];
    if (event.key === "j") go(1);
    else if (event.key === "k") go(-1);
    else if (event.key === "x" && card) card.querySelector("[name=comment]").click();
    else if (event.key === "e" && card) card.querySelector(".more").click();
    else if (event.key === "u") document.querySelector(".undo button")?.click();
    else if (event.key === "/") {
      document.querySelector(".look").open = true;
      document.getElementById("words").focus();
    } else if (verb && card) {
      const ticked = document.querySelector(".queue [name=comment]:checked");
      const place = ticked ? `.together [value=${verb}]` : `[name=only][value^="${verb} "]`;
      (ticked ? document : card).querySelector(place)?.click();
    } else return;
    event.preventDefault();
  });
})();
