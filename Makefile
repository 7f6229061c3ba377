.DEFAULT_GOAL := help
FUZZTIME ?= 30s

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

build: ## build bin/pawl
	go build -trimpath -o bin/pawl ./cmd/pawl

deps: ## install what the tests need (Debian packages)
	@scripts/install-test-deps

lint: ## formatting, vet, staticcheck
	@test -z "$$(gofmt -l .)" || { echo "gofmt would change:"; gofmt -l .; exit 1; }
	go vet ./...
	go tool staticcheck ./...

test: deps lint ## everything, with the race detector
	go test -race -timeout 20m ./...

test-short: ## without the examples and the long runs
	go test -short ./...

bench: ## durable refreshes a second from 64 connections, beside a bare server
	go test -run '^$$' -bench . -benchtime 5s ./test/load

fuzz: ## run each fuzz target for FUZZTIME (30s)
	@for pkg in $$(go list ./...); do \
	  for target in $$(go test -list '^Fuzz' $$pkg | grep '^Fuzz'); do \
	    echo "$$pkg $$target"; go test -run '^$$' -fuzz "^$$target\$$" -fuzztime $(FUZZTIME) $$pkg || exit 1; \
	  done; \
	done

cross: ## does it build for darwin and windows
	GOOS=darwin go build ./...
	GOOS=windows go build ./...

clean: ## remove what was built
	rm -rf bin

.PHONY: help build deps lint test test-short bench fuzz cross clean
