"""XSS payloads: every vector in every context, each payload with its own number."""

import html
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote

VECTORS = (Path(__file__).parent / "xss_vectors.txt").read_text(encoding="utf-8").splitlines()
# The contexts: what closes the markup around a vector.
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
    """Return every vector in every context. Payload N calls `ran(N)` when it is run."""
    raw = [surround(vector) for surround in SURROUNDINGS.values() for vector in VECTORS]
    return [one.replace("RUN", f"ran({number})") for number, one in enumerate(raw)]


def sample(most: int) -> list[str]:
    """Return a number of payloads, spread evenly over contexts and vectors."""
    every = payloads()
    step = len(every) / most
    return [every[int(number * step)] for number in range(most)]


# Records what was run, in every frame, before any other script.
COUNT = "window.hits = []; window.ran = (number) => { (top.hits ||= []).push(number); window.hits.push(number); };"
# Loads documents into frames of one page, and waits for all of them.
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
# Acts as a reader could, and lists what could run: handlers, scripts, `javascript:` URLs.
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
