.DEFAULT_GOAL := help
FUZZTIME ?= 30s
LANETIME ?= 5m
FAILOVERS ?= 20
OLD ?= 9e0ae48
MICRO = '^Benchmark(Parse|Verify|Sign|Encode|Handler|Introspection|Store|Table)'
KILLS ?= 200
STOPS ?= 500
ROUNDS ?= 2
TTL ?= 10
FOR ?= 0
STRICT =
# The race detector makes SQLite, which is C translated into Go, several times slower, and looks at no memory of it.
# A package that is left out must not instantiate generic functions (TestRaceDetectorSeesAll).
RACE_OURS = -gcflags=modernc.org/sqlite/lib=-race=false
# Most tests wait more than they compute, so 4 packages run at once. The longest packages begin first, so that none of
# them runs alone at the end.
PACKAGES ?= 4
LONGEST = ./internal/store/postgres ./internal/server ./test/e2e ./test/cluster ./test/torture ./cmd/pawl ./test/sdk \
  ./test/model ./test/console ./internal/store/sqlite

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-16s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

build: ## build bin/pawl
	go build -trimpath -o bin/pawl ./cmd/pawl

deps: ## install the tools of the tests (Debian packages, with apt-get)
	@scripts/install-test-deps

lint: ## check formatting, run vet and staticcheck
	@unformatted=$$(gofmt -l .) && test -z "$$unformatted" || { echo "gofmt would change: $$unformatted"; exit 1; }
	go vet ./...
	go tool staticcheck ./...

test: deps lint ## run every test with the race detector; about 15 minutes on 2 cores
	go run ./test/run $(STRICT) -race $(RACE_OURS) -vet=off -p $(PACKAGES) -timeout 20m $(LONGEST) ./...

test-short: ## run the tests without the long ones; installs nothing
	go test -short ./...

bench: deps ## measure the table of docs/benchmarks.md, then the micro-benchmarks; about 9 minutes
	go run ./test/load
	go run ./test/load -feed
	@file=$$(mktemp) && trap 'rm -f '$$file EXIT && \
	  go test -run '^$$' -bench $(MICRO) -benchmem -benchtime 200ms -count 6 ./internal/token ./client ./internal/revocation ./internal/server ./internal/store/sqlite ./internal/store/postgres > $$file || { cat $$file; exit 1; }; \
	  go tool benchstat $$file

bench-matrix: deps ## measure both stores by algorithm, number of connections and CPUs; about 8 minutes
	go run ./test/load -matrix -rounds 2 -each 1s

bench-all: bench bench-store bench-matrix bench-old bench-notify bench-plots bench-large bench-many bench-console ## make every figure of docs/benchmarks.md; about 65 minutes

bench-store: deps ## measure commits, slow disks, and the memory of the table of revocations; about 3 minutes
	go test -run '^$$' -bench '^Benchmark(Committer|SlowFlush)$$' -benchtime 500ms ./internal/store/sqlite
	go test -run '^$$' -bench '^BenchmarkSlowFlush$$' -benchtime 1x ./internal/store/postgres
	go test -count 1 -run '^TestTableMemory$$' -v ./internal/revocation

bench-old: deps ## measure commit OLD (9e0ae48) and this build in turn, on all CPUs, on one, and there with a slower disk; about 7 minutes
	@dir=$$(mktemp -d) && trap 'rm -rf '$$dir EXIT && git archive $(OLD) | tar -x -C $$dir && \
	  (cd $$dir && go build -o old-pawl ./cmd/pawl) && go run ./test/load -against $$dir/old-pawl -rounds 5 -each 2s && \
	  go run ./test/load -against $$dir/old-pawl -rounds 5 -each 2s -cpus 1 -flush 1ms

bench-notify: deps ## measure NOTIFY beside a table, as the feed of revocations has it; about 3 minutes
	pg_virtualenv -o fsync=on scripts/measure-notify

bench-plots: deps ## redraw the plots of docs/benchmarks.md; about 5 minutes
	go run ./test/load -plots docs -each 2s

torture-postgres: ## kill FAILOVERS (20) primaries under load, and count lost refreshes
	go test -count 1 -timeout 2h -v -run '^TestFailover$$' ./test/cluster -failovers $(FAILOVERS)

model: ## check the models of the rotation and of the feed, and their mutants, with spin (docs/model)
	scripts/check-model

bench-large: ## measure the SQLite store with 5,000,000 sessions (some minutes, 2 GB of disk)
	go test -run '^$$' -bench '^BenchmarkLarge$$' -benchtime 1x -timeout 30m ./internal/store/sqlite

bench-many: deps ## end 1,000,000 sessions of one user on each store, and measure the call and other refreshes (12 minutes, 2 GB of disk)
	go test -run '^$$' -bench '^BenchmarkMany$$' -benchtime 1x -timeout 1h ./test/many
	go test -run '^$$' -bench '^BenchmarkMany$$/SQLite' -benchtime 1x -timeout 1h ./test/many -many 250000 -each 2s -rounds 9

bench-console: deps ## measure the pages of the console with 200,000 people and 1,000,000 sessions on each store; fails above 100 ms (5 minutes)
	go test -run '^$$' -bench '^BenchmarkLists$$' -benchtime 5x -timeout 30m ./test/console

torture-ha: deps ## cause every fault of three sites with Patroni ROUNDS (2) times by each of 3 routes, and check every answer; about 80 minutes; as root, networks are cut too
	go test -count 1 -timeout 1h -run '^TestFenceSeesFaults$$' ./internal/store/postgres -all-mutants
	go test -count 1 -timeout 3h -v -run '^TestHA$$' ./test/torture -ha-rounds $(ROUNDS) -ha-ttl $(TTL)
	go test -count 1 -timeout 1h -v -run '^TestHA$$' ./test/torture -ha-rounds 1 -ha-ttl $(TTL) -ha-route own -ha-watchdog

torture: ## on each store, kill servers KILLS (200) times, or for a time (FOR=2h), and check every answer; check all rights
	go test -count 1 -timeout 1h -run '^Test(RightsTable|Feed)SeesFaults$$' ./internal/store/storetest -all-mutants
	go test -race -count 1 -timeout 1h -run '^Test(HeldBody|HeldAtStore|LoopOfWrites|OnPostgres)$$' ./internal/server -whole
	go test -race -count 1 -timeout 0 -v -run '^TestTorture' ./test/torture -kills $(KILLS) -for $(FOR)

stops: ## on each store, stop servers under load STOPS (500) times with SIGTERM, then as often with the race detector; about 45 minutes
	go test -count 1 -timeout 0 -v -run '^TestStops$$' ./test/e2e -stops $(STOPS)
	go test -race -count 1 -timeout 0 -v -run '^TestStops$$' ./test/e2e -stops $(STOPS)

fuzz: ## run each fuzz target for FUZZTIME (30s), and that of the fast lane for LANETIME (5m)
	@set -e; for package in $$(go list ./...); do \
	  targets=$$(go test -list '^Fuzz' $$package); \
	  for target in $$(echo "$$targets" | grep '^Fuzz'); do \
	    echo "$$package $$target"; \
	    case $$target in FuzzLane) time=$(LANETIME);; *) time=$(FUZZTIME);; esac; \
	    go test -run '^$$' -fuzz "^$$target\$$" -fuzztime $$time -fuzzminimizetime 1s $$package; \
	  done; \
	done

cross: ## build for darwin and windows
	GOOS=darwin go build -o /dev/null ./...
	GOOS=windows go build -o /dev/null ./...

clean: ## remove bin/
	rm -rf bin

.PHONY: help build deps lint test test-short bench bench-all bench-store bench-matrix bench-old bench-notify bench-plots bench-large bench-many bench-console torture torture-postgres torture-ha stops model fuzz cross clean
