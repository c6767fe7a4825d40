# make test is all that CI runs; make build leaves dist/twinbeat.
GO      ?= go
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
OUT     ?= dist/twinbeat
TAGS    ?=
FUZZTIME ?=
LDFLAGS  = -s -w -X github.com/twinbeat/twinbeat/agent/cli.version=$(VERSION) -X github.com/twinbeat/twinbeat/agent/cli.sources=$(SOURCES)
# What a simulated run depends on: results of other sources are not mixed.
SOURCES  = $(shell find agent/pair agent/wire agent/sim agent/journal agent/config -name '*.go' ! -name '*_test.go' | LC_ALL=C sort | xargs cat | sha256sum | cut -c 1-16)
# TAGS (lite, or no_NAME for a family of fence drivers) and MIPS are for routers
# with little flash: nothing is inlined, which makes a binary a twelfth smaller
# and somewhat slower.
GCFLAGS  = $(if $(TAGS)$(filter mips%,$(shell $(GO) env GOARCH)),all=-l)
# Switches and BMCs speak HTTP/1.1: the client does without HTTP/2, and is 0.4 MB smaller.
COMMA   := ,
ALLTAGS  = nethttpomithttp2$(if $(TAGS),$(COMMA)$(TAGS))
# Tools stand outside go.mod, so that they never enter our module graph.
GOFUMPT     = $(GO) run mvdan.cc/gofumpt@v0.12.0
STATICCHECK = $(GO) run honnef.co/go/tools/cmd/staticcheck@v0.8.2

.PHONY: build test deps lint unit race fuzz mutants model world cross size demo bench campaign test-vm campaign-vm simulate clean

build:
	CGO_ENABLED=0 $(GO) build -trimpath -tags "$(ALLTAGS)" -gcflags "$(GCFLAGS)" -ldflags "$(LDFLAGS)" -o $(OUT) .

test: deps lint unit race fuzz cross world

deps:
	@.ci/deps

lint:
	@test -z "$$($(GOFUMPT) -l . | tee /dev/stderr)" || { echo "run: $(GOFUMPT) -w ."; exit 1; }
	$(GO) vet ./...
	$(GO) vet -tags lite ./...
	$(STATICCHECK) ./...

# One package at a time: many of them measure the kernel's clocks.
unit:
	$(GO) test -count=1 -p 1 . ./agent/... ./fence/... ./vip/...
	$(GO) test -count=1 -p 1 -tags lite -run 'Build|Fence|Scripts' ./agent ./agent/cli

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

# Two emulated machines, every scenario; make world plays the quick ones. RUN
# narrows by name.
test-vm:
	$(GO) test -count=1 -v -timeout 2h -parallel 2 -run 'TestScenarios/$(RUN)' ./tests/vm -full

# Random faults against emulated machines: N=300 SEED=1; what was played already
# is not played again. ITER=I plays one iteration again.
campaign-vm:
	mkdir -p dist
	$(GO) test -count=1 -v -timeout 24h -run TestCampaign ./tests/vm -args -n $(N) -seed $(SEED) \
		$(if $(ITER),-iter $(ITER),-results $(CURDIR)/dist/campaign-vm-$(SEED).jsonl)

# Random faults in a simulated world, in slices that a later call does not play
# again: N=1000000. MODE=fence plays one mode; RECORD=1 writes agent/sim/RECORD.md.
simulate: build
	$(OUT) simulate --seeds $(N) --seed $(SEED) $(if $(MODE),--mode $(MODE)) --results dist/simulate.jsonl $(if $(RECORD),--record agent/sim/RECORD.md)

clean:
	rm -rf dist
