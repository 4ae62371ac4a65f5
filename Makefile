# Two commands do everything: `go run ./cmd/ikelab run examples/first-tunnel.hcl` and `make test`.

GO            ?= go
PKG           ?= ./...
FUZZTIME      ?= 1m
BENCHTIME     ?= 1s
# No package's tests take a tenth of this on an idle machine.
TIMEOUT       ?= 8m
SOAKPKG       ?= ./sim/netns ./cmd/ikelab
SOAKTIMEOUT   ?= 60m
GOLANGCI_LINT  = github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v2.15.0

.PHONY: test soak tools daemons lint golden fuzz bench

# All tests. What was skipped is listed by name with what cures it; with CI=true a skip is a failure.
test: tools daemons
	$(GO) vet $(PKG) ./.ci/maketest
	$(GO) run ./.ci/maketest test -timeout $(TIMEOUT) $(PKG) ./.ci/maketest

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
