"""Checks of a page in the browser: missing names, elements that stick out."""

from typing import Literal

WIDTHS = (360, 768, 1280)


COLOURS: tuple[Literal["light", "dark"], ...] = ("light", "dark")


# Lists what a screen reader or a keyboard user would miss; empty when all is well.
MISSING = """
() => {
  const missing = [];
  const say = (element, what) => missing.push(`${what}: ${element.outerHTML.slice(0, 120)}`);
  for (const field of document.querySelectorAll("input:not([type=hidden]), textarea, select")) {
    if (![...field.labels].some((label) => label.textContent.trim())) say(field, "no label");
    if (field.type === "radio" && !field.closest("fieldset")?.querySelector("legend")?.textContent.trim())
      say(field, "no group");
  }
  for (const error of document.querySelectorAll("p.error")) {
    if (!document.querySelector(`[aria-describedby~="${error.id}"]`)) say(error, "an error tied to nothing");
  }
  for (const described of document.querySelectorAll("[aria-describedby]")) {
    for (const id of described.getAttribute("aria-describedby").split(/\\s+/))
      if (!document.getElementById(id)) say(described, `described by nothing (${id})`);
  }
  const ids = [...document.querySelectorAll("[id]")].map((element) => element.id);
  for (const id of ids.filter((one, place) => ids.indexOf(one) !== place)) missing.push(`two of ${id}`);
  for (const element of document.querySelectorAll("a, button"))
    if (!(element.textContent.trim() || element.querySelector("img[alt]:not([alt=''])"))) say(element, "no name");
  for (const image of document.images) if (!image.hasAttribute("alt")) say(image, "no alt");
  for (const link of document.querySelectorAll("a[href^='#']"))
    if (!document.getElementById(link.hash.slice(1))) say(link, "leads nowhere");
  if (document.querySelectorAll("h1").length !== 1) missing.push("not one h1");
  if (!document.documentElement.lang) missing.push("no language");
  if (document.querySelectorAll("main").length !== 1) missing.push("not one main");
  return missing;
}
"""


# Lists text and boxes that stick out of the page or the form.
STICKING_OUT = """
() => {
  const out = [];
  const page = document.documentElement;
  if (page.scrollWidth > page.clientWidth) out.push(`the page by ${page.scrollWidth - page.clientWidth}`);
  const edge = document.querySelector("main").getBoundingClientRect();
  for (const element of document.querySelectorAll("main *")) {
    const box = element.getBoundingClientRect();
    if (box.width && (box.right > edge.right + 1 || box.left < edge.left - 1)) out.push(element.outerHTML.slice(0, 90));
  }
  return out;
}
"""
