// Full text search over an index made beside the pages (Pagefind): nothing is asked of any server but this one.
const form = document.getElementById("search");
const words = document.getElementById("words");
const found = document.getElementById("found");
const results = document.getElementById("results");
const MOST = 20;
let asked = 0;

const say = (text) => { found.textContent = text; };

const line = (page) => {
  const item = document.createElement("li");
  const link = document.createElement("a");
  link.className = "entry";
  link.href = page.url;
  link.textContent = page.meta.title;
  const excerpt = document.createElement("p");
  excerpt.className = "excerpt";
  // Pagefind's excerpt is escaped text with <mark> in it: only the marks become elements.
  for (const piece of page.excerpt.split(/(<mark>.*?<\/mark>)/)) {
    const plain = new DOMParser().parseFromString(piece, "text/html").body.textContent;
    const part = piece.startsWith("<mark>") ? document.createElement("mark") : document.createElement("span");
    part.textContent = plain;
    excerpt.append(part);
  }
  item.append(link, excerpt);
  return item;
};

const search = async (pagefind) => {
  const mine = ++asked;
  const text = words.value.trim();
  if (!text) { results.replaceChildren(); say("Type a word or two."); return; }
  const answer = await pagefind.search(text);
  const pages = await Promise.all(answer.results.slice(0, MOST).map((one) => one.data()));
  if (mine !== asked) return;
  results.replaceChildren(...pages.map(line));
  const count = answer.results.length;
  say(count === 0 ? `Nothing has “${text}” in it.`
    : `${count} ${count === 1 ? "page has" : "pages have"} it${count > MOST ? `; the best ${MOST} are here` : ""}.`);
};

try {
  const pagefind = await import("/pagefind/pagefind.js");
  await pagefind.init();
  form.hidden = false;
  words.value = new URLSearchParams(location.search).get("q") ?? "";
  say("Type a word or two.");
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    history.replaceState(null, "", `?${new URLSearchParams({ q: words.value })}`);
    search(pagefind);
  });
  words.addEventListener("input", () => search(pagefind));
  if (words.value) search(pagefind);
} catch {
  found.textContent = "The search index is not there yet. The archive lists every post: ";
  const link = document.createElement("a");
  link.href = "/archives.html";
  link.textContent = "archive";
  found.append(link);
}
