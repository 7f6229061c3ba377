.DEFAULT_GOAL := help
FUZZTIME ?= 30s
KILLS ?= 200
FOR ?= 0

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

build: ## build bin/pawl
	go build -trimpath -o bin/pawl ./cmd/pawl

deps: ## install what the tests need (Debian packages)
	@scripts/install-test-deps

lint: ## formatting, vet, staticcheck
	@unformatted=$$(gofmt -l .) && test -z "$$unformatted" || { echo "gofmt would change: $$unformatted"; exit 1; }
	go vet ./...
	go tool staticcheck ./...

test: deps lint ## everything, with the race detector
	go test -race -timeout 20m ./...

test-short: ## without the long runs
	go test -short ./...

bench: ## durable refreshes a second from 64 connections, beside a bare server
	go test -run '^$$' -bench . -benchtime 5s ./test/load

torture: ## kill the server KILLS times (200), or for FOR (as in FOR=2h), and check every answer
	go test -race -count 1 -timeout 0 -v -run '^TestTorture$$' ./test/torture -kills $(KILLS) -for $(FOR)

fuzz: ## run each fuzz target for FUZZTIME (30s)
	@set -e; for package in $$(go list ./...); do \
	  targets=$$(go test -list '^Fuzz' $$package); \
	  for target in $$(echo "$$targets" | grep '^Fuzz'); do \
	    echo "$$package $$target"; \
	    go test -run '^$$' -fuzz "^$$target\$$" -fuzztime $(FUZZTIME) -fuzzminimizetime 1s $$package; \
	  done; \
	done

cross: ## does it build for darwin and windows
	GOOS=darwin go build -o /dev/null ./...
	GOOS=windows go build -o /dev/null ./...

clean: ## remove what was built
	rm -rf bin

.PHONY: help build deps lint test test-short bench torture fuzz cross clean
