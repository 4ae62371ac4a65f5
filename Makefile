# Two commands do everything: `go run ./cmd/ikelab run examples/first-tunnel.hcl` and `make test`.

GO            ?= go
PKG           ?= ./...
# Go's patterns leave folders with a dot out.
CIPKG          = ./.ci/maketest ./.ci/benchdataplane
FUZZTIME      ?= 1m
BENCHTIME     ?= 1s
# Of the data planes' comparison: how long TCP is measured at a time, how often everything is, and what else it is told,
# BENCHFLAGS=-json for example.
DURATION      ?= 2s
ROUNDS        ?= 3
BENCHFLAGS    ?=
# It ends tests that hang. Slow ones are caught by their processor time (.ci/maketest), which no neighbour changes, so
# this is more than a machine needs that is ten times as busy as it should be.
TIMEOUT       ?= 30m
SOAKPKG       ?= ./sim/netns ./cmd/ikelab
SOAKTIMEOUT   ?= 60m
GOLANGCI_LINT  = github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v2.15.0

.PHONY: test quick cputable soak tools daemons lint golden fuzz bench bench-dataplane

# All tests. What was skipped is listed by name with what cures it; with CI=true a skip is a failure.
test: tools daemons
	$(GO) vet $(PKG) $(CIPKG)
	$(GO) run ./.ci/maketest test -timeout $(TIMEOUT) $(PKG) $(CIPKG)

# What needs neither root nor namespaces nor the race detector nor patience: under a minute, for between two edits.
quick:
	$(GO) run ./.ci/maketest test -short -timeout $(TIMEOUT) $(PKG) $(CIPKG)

# Runs all tests and rewrites the committed table of their processor time, to which CI=true holds packages. As root,
# else the tests of labs in namespaces are missing in it; best on an idle machine.
cputable: tools daemons
	$(GO) run ./.ci/maketest cputable -timeout $(TIMEOUT) $(PKG) $(CIPKG)

# The tests of labs in namespaces, many times over: every example ten times, a hundred killed labs and runs, and so on.
soak: tools daemons
	IKELAB_SOAK=1 $(GO) run ./.ci/maketest test -timeout $(SOAKTIMEOUT) $(SOAKPKG)

# Debian packages that tests call for (tshark; gcc for the race detector), installed when root on Debian.
tools:
	@.ci/tools

# Debian's strongSwan, unpacked into the user's cache and never installed; tests run it as a peer.
daemons:
	@.ci/daemons

# The linter runs at a pinned version and stays out of go.mod.
lint:
	$(GO) run $(GOLANGCI_LINT) run $(PKG)

# Rewrites golden files and the examples' digests. Look at the diff before committing it.
golden:
	$(GO) run ./.ci/maketest golden $(PKG)

# Every fuzz target of every package for FUZZTIME each.
fuzz:
	$(GO) run ./.ci/maketest fuzz -time $(FUZZTIME) $(PKG)

bench:
	$(GO) test -run '^$$' -bench . -benchmem -benchtime $(BENCHTIME) $(PKG)

# Our data plane beside plain veth, wireguard-go and strongSwan's, in turns; about three minutes, as root.
bench-dataplane: daemons
	@$(GO) run ./.ci/benchdataplane -duration $(DURATION) -rounds $(ROUNDS) $(BENCHFLAGS)
