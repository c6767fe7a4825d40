# make test is all that CI runs; make build leaves dist/twinbeat.
GO      ?= go
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
OUT     ?= dist/twinbeat
MODULE   = github.com/twinbeat/twinbeat
TAGS    ?=
FUZZTIME ?=
LDFLAGS  = -s -w $(PAGES) -X $(MODULE)/agent/cli.version=$(VERSION) -X $(MODULE)/agent/cli.sources=$(SOURCES)
# What a simulated run depends on: results of other sources are not mixed. What
# agent/config makes of the simulator's configurations stands in loaded.txt, and a
# test holds it to that.
SOURCES  = $(shell { find agent/pair agent/wire agent/health agent/sim agent/journal -name '*.go' ! -name '*_test.go'; echo agent/sim/testdata/loaded.txt; } | LC_ALL=C sort | xargs cat | sha256sum | cut -c 1-16)
# Nothing is inlined, which makes a binary a twelfth smaller; what each heartbeat
# costs is made of calls to the kernel. TAGS are for routers with little flash:
# lite, or no_NAME for a family of fence drivers.
GCFLAGS  = -gcflags=all=-l
# MIPS kernels have pages of 4 or 16 KB; the linker pads for 64. Functions need
# not begin at every 32nd byte on amd64, as the linker has it; every 8th saves 0.2 MB.
GOARCH_  = $(shell $(GO) env GOARCH)
PAGES    = $(if $(filter mips%,$(GOARCH_)),-R 0x4000)$(if $(filter amd64,$(GOARCH_)),-funcalign 8)
# Switches and BMCs speak HTTP/1.1: the client does without HTTP/2, and is 0.4 MB
# smaller. MIPS needs more bytes for the same: what such a box hardly has is left
# out there to stay within 12 MB, unless TAGS says what to leave out. mqtt alone
# says what to add.
COMMA   := ,
LESS     = $(filter-out mqtt,$(subst $(COMMA), ,$(TAGS)))
SMALLER  = $(TAGS)$(if $(LESS),,$(if $(filter mips%,$(GOARCH_)),$(if $(TAGS),$(COMMA))no_chips$(COMMA)no_ssh))
ALLTAGS  = nethttpomithttp2$(if $(SMALLER),$(COMMA)$(SMALLER))
# Tools stand outside go.mod, so that they never enter our module graph.
GOFUMPT     = $(GO) run mvdan.cc/gofumpt@v0.12.0
STATICCHECK = $(GO) run honnef.co/go/tools/cmd/staticcheck@v0.8.2

# The packages that have files with tag mqtt.
MQTT = ./agent ./agent/config ./agent/notify

.PHONY: build test deps lint unit race fuzz mutants model world cross size demo bench campaign test-vm resets-vm load-vm campaign-vm record-vm simulate docs install deb clean

build:
	CGO_ENABLED=0 $(GO) build -trimpath -tags "$(ALLTAGS)" $(GCFLAGS) -ldflags "$(LDFLAGS)" -o $(OUT) .

test: deps lint unit race fuzz cross world

deps:
	@.ci/deps

lint:
	@test -z "$$($(GOFUMPT) -l . | tee /dev/stderr)" || { echo "run: $(GOFUMPT) -w ."; exit 1; }
	$(GO) vet ./...
	$(GO) vet -tags lite ./...
	$(GO) vet -tags mqtt ./agent/...
	$(STATICCHECK) ./...
	$(STATICCHECK) -tags mqtt $(MQTT)

# One package at a time: many of them measure the kernel's clocks.
unit:
	$(GO) test -count=1 -p 1 . ./agent/... ./fence/... ./sensors/... ./vip/...
	$(GO) test -count=1 -p 1 -tags lite -run 'Build|Fence|Scripts' ./agent ./agent/cli
	$(GO) test -count=1 -p 1 -tags mqtt -run 'MQTT|Reference' $(MQTT)

# The race detector needs cgo, and so a C compiler.
race:
	@.ci/race

fuzz:
	@.ci/fuzz $(FUZZTIME)

# Every safety rule broken once: some ring of tests must notice. FULL=1 asks
# every ring about every mutant and prints the table; ONLY narrows by name or file.
mutants:
	$(GO) run ./tests/mutants $(if $(FULL),-full) -only "$(ONLY)"

# The protocol as a model: spin visits every state of each world (part of make
# world). FULL=1 adds larger worlds: at most 20 minutes and 8 GB each.
model:
	$(GO) test -count=1 -v -timeout 4h -run 'Rules|State|Wrong|Truncated' ./tests/model $(if $(FULL),-full)

# House rules, and both nodes on one machine.
world:
	$(GO) test -count=1 -p 1 -timeout 30m ./tests/...

# Every architecture, full, reduced and lite, within its budget.
cross:
	$(GO) test -count=1 -timeout 30m -v -run TestBinaries ./tests -cross

size:
	$(GO) test -count=1 -v -run TestBinaries ./tests

# As root or, through user namespaces, as anyone. TOUR=1 plays everything by itself.
demo:
	TOUR=$(TOUR) $(GO) run ./tests/lab/demo

bench:
	$(GO) run ./tests/lab/bench

# Random faults against real pairs. SEED=S ITER=I plays one iteration again;
# RECORD=1 writes tests/campaign/RECORD.md.
N    ?= 200
SEED ?= 1
campaign:
	$(GO) run ./tests/campaign -n $(N) -seed $(SEED) $(if $(ITER),-iter $(ITER)) $(if $(LABS),-labs $(LABS)) \
		$(if $(RECORD),-results dist/campaign-$(SEED).jsonl -record tests/campaign/RECORD.md)

# Two emulated machines; make world plays the quick scenarios. test-vm: every
# scenario, once; RUN narrows by name; with RUNS so often, and what came of each
# goes to RESULTS, as with the others, which do not play again what it holds.
# resets-vm: N times an owner is reset by its watchdog. load-vm: for LOAD the owner
# has more to do than it can. campaign-vm: N random faults, SEED=1; ITER=I plays
# one again. record-vm writes tests/vm/RECORD.md. PAIRS at once.
LOAD    ?= 1h
PAIRS   ?= 2
RESULTS ?= $(CURDIR)/dist/vm.jsonl
VM       = mkdir -p $(dir $(RESULTS)) && $(GO) test -count=1 -v -timeout 24h -parallel $(PAIRS) ./tests/vm
test-vm:
	$(VM) -run 'TestScenarios/$(RUN)' -full $(if $(RUNS),-runs $(RUNS) -results $(RESULTS))

resets-vm:
	$(VM) -run TestResets -resets $(N) -results $(RESULTS)

load-vm:
	$(VM) -run TestLoad -load $(LOAD) -results $(RESULTS)

campaign-vm:
	$(VM) -run TestCampaign -iterations $(N) -seed $(SEED) $(if $(ITER),-iter $(ITER),-results $(RESULTS))

record-vm:
	$(VM) -run TestRecord -record $(CURDIR)/tests/vm/RECORD.md -results $(RESULTS)

# Random faults in a simulated world, in slices that a later call does not play
# again: N=1000000. MODE=fence plays one mode; RECORD=1 writes agent/sim/RECORD.md.
simulate: TAGS = simulate
simulate: GCFLAGS =
simulate: OUT = dist/simulate
simulate: build
	$(OUT) simulate --seeds $(N) --seed $(SEED) $(if $(MODE),--mode $(MODE)) --results dist/simulate.jsonl $(if $(RECORD),--record agent/sim/RECORD.md)

# For packages: where things go, and for which init. Each init's file lies in
# DOCDIR/examples, those of INIT (systemd, sysv, openrc, procd) also in their place.
PREFIX  ?= /usr/local
SBINDIR ?= $(PREFIX)/sbin
MANDIR  ?= $(PREFIX)/share/man
DOCDIR  ?= $(PREFIX)/share/doc/twinbeat
UNITDIR ?= $(PREFIX)/lib/systemd/system
ZSHDIR  ?= $(PREFIX)/share/zsh/site-functions
INIT    ?=
SOURCE_DATE_EPOCH ?= $(shell git log -1 --format=%ct 2>/dev/null || date +%s)
export SOURCE_DATE_EPOCH
# What runs while building is built for this machine.
HOSTGO   = GOOS= GOARCH= GOARM= GOMIPS= CGO_ENABLED=0 $(GO)
PLACE    = sed 's,@SBINDIR@,$(SBINDIR),g'
EXAMPLES = $(DESTDIR)$(DOCDIR)/examples

# Manual pages and completions, from the program's own tables.
docs:
	$(HOSTGO) run ./packaging/man -out dist/man -version "$(VERSION)" -date "$$(date -u -d @$(SOURCE_DATE_EPOCH) +%F)"
	mkdir -p dist/completion
	$(HOSTGO) build -o dist/completion/host .
	for s in bash zsh fish; do dist/completion/host completion $$s >dist/completion/$$s || exit 1; done
	rm dist/completion/host

install: build docs
	install -D -m 755 $(OUT) $(DESTDIR)$(SBINDIR)/twinbeat
	install -D -m 644 dist/man/twinbeat.8 $(DESTDIR)$(MANDIR)/man8/twinbeat.8
	install -D -m 644 dist/man/twinbeat.toml.5 $(DESTDIR)$(MANDIR)/man5/twinbeat.toml.5
	install -D -m 644 dist/completion/bash $(DESTDIR)$(PREFIX)/share/bash-completion/completions/twinbeat
	install -D -m 644 dist/completion/zsh $(DESTDIR)$(ZSHDIR)/_twinbeat
	install -D -m 644 dist/completion/fish $(DESTDIR)$(PREFIX)/share/fish/vendor_completions.d/twinbeat.fish
	install -d $(EXAMPLES)
	install -m 644 README.md reference.toml $(DESTDIR)$(DOCDIR)/
	install -D -m 644 packaging/TWINBEAT-MIB.txt $(DESTDIR)$(PREFIX)/share/snmp/mibs/TWINBEAT-MIB.txt
	awk '/^```/ && f {exit} f; /^```toml/ {f=1}' README.md >$(EXAMPLES)/twinbeat.toml
	for f in twinbeat.service strict.conf credentials.conf twinbeat.init twinbeat.openrc twinbeat.procd inittab twinbeat.default; do \
		$(PLACE) packaging/$$f >$(EXAMPLES)/$$f || exit 1; done
	chmod 644 $(EXAMPLES)/*
	for i in $(INIT); do $(MAKE) -s install-$$i || exit 1; done

install-systemd:
	install -D -m 644 $(EXAMPLES)/twinbeat.service $(DESTDIR)$(UNITDIR)/twinbeat.service

install-sysv: install-default
	install -D -m 755 $(EXAMPLES)/twinbeat.init $(DESTDIR)/etc/init.d/twinbeat

install-openrc:
	install -D -m 755 $(EXAMPLES)/twinbeat.openrc $(DESTDIR)/etc/init.d/twinbeat
	test -e $(DESTDIR)/etc/conf.d/twinbeat || install -D -m 644 $(EXAMPLES)/twinbeat.default $(DESTDIR)/etc/conf.d/twinbeat

install-procd:
	install -D -m 755 $(EXAMPLES)/twinbeat.procd $(DESTDIR)/etc/init.d/twinbeat

install-default:
	test -e $(DESTDIR)/etc/default/twinbeat || install -D -m 644 $(EXAMPLES)/twinbeat.default $(DESTDIR)/etc/default/twinbeat

# A Debian package for GOARCH: dist/twinbeat_VERSION_ARCH.deb.
deb:
	packaging/deb/build $(MAKE) "$(VERSION)" "$(shell $(GO) env GOARCH)"

clean:
	rm -rf dist
