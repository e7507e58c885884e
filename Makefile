# make run     the site and its workers          make test       the suite, on SQLite and on PostgreSQL
# make demo    the same with mailboxes to try    make test-long  the tests of minutes too
# make screenshots   every page of the demo into var/screenshots (LANGUAGE_NAME=ar: in Arabic)
# make setup   only what a server needs to start   make lint       ruff and mypy
# make lock    choose the versions that make setup installs, from the ranges in requirements*.txt
# make messages  the texts of the sources into locale/     make languages  compile and check the translations (docs/translating.md)
# make bench   all figures of docs/benchmarks.md; BENCH_SCALE=0.1 shrinks, ONLY=rtt,four chooses, BENCH_DATABASE=postgres
#              bench-programs: BENCH_MAILS=20000 hands over as many a run instead of 1,000
# make fuzz TARGET=mime SECONDS=600   Atheris, by hand (tests/fuzz)
# A machine that keeps no compiled modules compiles all of them anew in each of the processes that tests start.
unexport PYTHONDONTWRITEBYTECODE
PYTHON ?= python3
BIN := .venv/bin
.DEFAULT_GOAL := run
.PHONY: setup .venv/installed .venv/installed-dev lock address-is-free run demo test test-long lint servers screenshots messages languages bench bench-sync bench-outbox bench-pages bench-machines bench-programs bench-servers bench-agreement fuzz

# What a service's user, who may not write beside the sources, would else lack: languages, and compiled modules.
setup: .venv/installed
	@$(BIN)/python -m prx_email_site.catalogues locale
	@$(BIN)/python -m compileall -q alerts api mailbox outbox people prx_email_site

.venv/installed:
	@PYTHON="$(PYTHON)" sh scripts/make-venv requirements.lock

.venv/installed-dev: .venv/installed
	@PYTHON="$(PYTHON)" sh scripts/make-venv requirements-dev.lock

INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes

# One version and its hashes for each package; nothing in them names a server that packages come from.
COMPILE := $(BIN)/python -m piptools compile --quiet --generate-hashes --allow-unsafe --strip-extras --no-header \
	--no-emit-index-url --no-emit-trusted-host --no-emit-find-links

lock:
	@PYTHON="$(PYTHON)" sh scripts/make-venv
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check "$$(grep ^pip-tools requirements-dev.txt)"
	$(COMPILE) --output-file requirements.lock requirements.txt
	$(COMPILE) --constraint requirements.lock --output-file requirements-s3.lock requirements-s3.txt
	$(COMPILE) --constraint requirements-s3.lock --output-file requirements-otel.lock requirements-otel.txt
	$(COMPILE) --constraint requirements-otel.lock --output-file requirements-sentry.lock requirements-sentry.txt
	$(COMPILE) --constraint requirements-s3.lock --constraint requirements-otel.lock --constraint requirements-sentry.lock \
		--output-file requirements-dev.lock requirements-dev.txt
	$(COMPILE) --output-file tests/fuzz/requirements.lock tests/fuzz/requirements.txt

# The address is looked at first: installing takes a minute, and a port that is taken ends it all the same.
address-is-free:
	@$(PYTHON) -m prx_email_site.launch --check-address

run: address-is-free .venv/installed
	@exec $(BIN)/python -m prx_email_site.launch

demo: .venv/installed-dev
	@sh scripts/install-servers dovecot
	@exec $(BIN)/python -m demo

screenshots: .venv/installed-dev
	@sh scripts/install-servers dovecot chromium
	@$(BIN)/python -m demo.screenshots $(LANGUAGE_NAME)

servers:
	@sh scripts/install-servers dovecot postgresql chromium npm oidc-provider nodemailer mail-clients isync gettext redis promtool systemd nginx caddy iproute2

# LANGUAGE_NAME=pt_BR begins a language.
messages: .venv/installed
	@sh scripts/install-servers gettext
	@$(BIN)/python manage.py gather_texts $(if $(LANGUAGE_NAME),--locale $(LANGUAGE_NAME))

languages: .venv/installed
	@$(BIN)/python manage.py languages

# The second run, on PostgreSQL, is what touches a database, without what is about pages, roles, processes or the words of
# mail servers, and of the cases of a test each third (test-long has all of it); status 77 says that there is none here.
# worksteal: else one process is left with the browser's tests, which come last, and the others have nothing to do for
# minutes. Four processes, as tests also wait: two cores are busy then.
test: .venv/installed-dev servers
	$(BIN)/python -m pytest -n 4 --dist worksteal -m "not long"
	$(BIN)/python -m tests.servers.with_postgres -- $(BIN)/python -m pytest -n 4 --dist worksteal \
		-m "database and not long and not browser and not pages and not wire and not processes" || [ $$? -eq 77 ]

test-long: .venv/installed-dev servers
	@sh scripts/install-servers iproute2 pgbouncer containers
	$(BIN)/python -m pytest
	$(BIN)/python -m tests.servers.with_postgres -- $(BIN)/python -m pytest || [ $$? -eq 77 ]

lint: .venv/installed-dev
	$(BIN)/python -m ruff check .
	$(BIN)/python -m ruff format --check .
	$(BIN)/python -m mypy

# The peers and limits of the figures; each suite is one word of `python -m benchmarks`.
bench: bench-sync bench-outbox bench-machines bench-programs bench-pages

bench-servers: .venv/installed-dev
	@sh scripts/install-servers dovecot isync notmuch smtp-sink

bench-sync bench-outbox bench-machines bench-programs: bench-%: bench-servers
	$(BIN)/python -m benchmarks $*

# How far our reader of mail and GMime say the same.
bench-agreement: .venv/installed-dev
	@sh scripts/install-servers gmime
	$(BIN)/python -m benchmarks.agreement

# Atheris goes into a folder of its own: nothing else needs it, and not every Python has a wheel of it.
TARGET ?= mime
SECONDS ?= 600
var/fuzz/installed: tests/fuzz/requirements.lock | .venv/installed-dev
	$(INSTALL) --target var/fuzz/site --upgrade -r tests/fuzz/requirements.lock
	@touch $@

fuzz: var/fuzz/installed
	PYTHONPATH=var/fuzz/site nice -n 19 $(BIN)/python -m tests.fuzz $(TARGET) var/fuzz -max_total_time=$(SECONDS)

# No server takes part: pages are asked, over databases of a million rows that `manage.py seed` makes.
bench-pages: .venv/installed-dev
	@sh scripts/install-servers postgresql
	$(BIN)/python -m benchmarks pages
