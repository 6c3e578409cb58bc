"""What people try: a vector in every surrounding, made of two lists, each payload with a number of its own."""

import html
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote

VECTORS = (Path(__file__).parent / "xss_vectors.txt").read_text(encoding="utf-8").splitlines()
# Where a vector may land, and what gets it out of there.
SURROUNDINGS: dict[str, Callable[[str], str]] = {
    "text": lambda vector: vector,
    "an attribute": lambda vector: f'">{vector}',
    "an attribute in single quotes": lambda vector: f"'>{vector}",
    "a text field": lambda vector: f"</textarea>{vector}",
    "a title": lambda vector: f"</title></style></noscript>{vector}",
    "a script of data": lambda vector: f"</script>{vector}",
    "a comment": lambda vector: f"-->{vector}<!--",
    "a quotation": lambda vector: f"> > {vector}",
    "code": lambda vector: f"``</code></pre>{vector}``",
    "entities": html.escape,
    "entities of entities": lambda vector: html.escape(html.escape(vector)),
    "percent signs": quote,
    "a template": lambda vector: f"{{{{7*7}}}}{{%raw%}}{vector}{{%endraw%}}",
}


def payloads() -> list[str]:
    """Every vector in every surrounding; payload N calls `ran(N)` where it is run."""
    raw = [surround(vector) for surround in SURROUNDINGS.values() for vector in VECTORS]
    return [one.replace("RUN", f"ran({number})") for number, one in enumerate(raw)]


def sample(most: int) -> list[str]:
    """So many of them, spread evenly, so that every surrounding and most kinds of vector are among them."""
    every = payloads()
    step = len(every) / most
    return [every[int(number * step)] for number in range(most)]


# Counts what was run, in every frame, before anything else is.
COUNT = "window.hits = []; window.ran = (number) => { (top.hits ||= []).push(number); window.hits.push(number); };"
# Puts pages into frames of one page, and waits until they have all loaded.
FRAMES = """
async (pages) => {
  document.body.replaceChildren();
  await Promise.all(pages.map((text) => new Promise((done) => {
    const frame = document.createElement("iframe");
    frame.onload = () => done();
    frame.srcdoc = text;
    document.body.append(frame);
  })));
}
"""
# Does what a reader could do, and tells what could run: handlers, scripts, addresses that are programs.
PROVOKE = """
() => {
  const found = [...window.hits].map((number) => `payload ${number} ran`);
  const programs = /^\\s*(?:javascript|vbscript|data):/i;
  for (const element of document.querySelectorAll("*")) {
    for (const { name, value } of element.attributes) {
      if (name.startsWith("on")) found.push(`${name} on ${element.outerHTML.slice(0, 200)}`);
      if (["href", "src", "action", "formaction", "data", "xlink:href", "srcdoc"].includes(name)
          && programs.test(value)) found.push(`a program in ${element.outerHTML.slice(0, 200)}`);
    }
    for (const type of ["mouseover", "pointerenter", "focus", "toggle"]) element.dispatchEvent(new Event(type));
  }
  const ours = ({ type, attributes: { src } }) => type === "application/ld+json" || src?.value.startsWith("/theme/");
  for (const script of document.scripts) if (!ours(script)) found.push(script.outerHTML.slice(0, 200));
  for (const strange of document.querySelectorAll("iframe, object, embed, svg script, base, meta[http-equiv], style"))
    found.push(strange.outerHTML.slice(0, 200));
  if (window.hits.length > found.filter((one) => one.endsWith(" ran")).length) found.push(`ran: ${window.hits}`);
  return found;
}
"""
