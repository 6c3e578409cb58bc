# Each target is one line that you could type yourself. The files .venv/*.done only remember what is installed.
PORT ?= 8000
PYTHON ?= python3

.PHONY: serve test test-slow bench requirements

serve: .venv/app.done
	.venv/bin/undisclosed serve --port $(PORT)

test: .venv/tests.done
	.venv/bin/python -m tests.prepare && .venv/bin/python -m pytest -n 2 -m "not slow"

test-slow: .venv/tests.done
	.venv/bin/python -m tests.prepare && .venv/bin/python -m pytest -n 2 -m slow

bench: .venv/tests.done
	.venv/bin/python -m tests.bench

.venv/app.done: requirements.txt pyproject.toml
	$(PYTHON) -m venv .venv && .venv/bin/python -m pip install -q --require-hashes -r requirements.txt && .venv/bin/python -m pip install -q --no-build-isolation --no-deps -e . && touch $@

.venv/tests.done: .venv/app.done requirements-dev.txt
	.venv/bin/python -m pip install -q --require-hashes -r requirements-dev.txt && touch $@

requirements: .venv/tests.done
	.venv/bin/uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-emit-find-links --custom-compile-command "make requirements" pyproject.toml -o requirements.txt && .venv/bin/uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-emit-find-links --custom-compile-command "make requirements" pyproject.toml --group dev -c requirements.txt -o requirements-dev.txt
