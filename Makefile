# make run and make test are all that is needed; both install what is missing.

VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo development)
GOTESTSUM := go run gotest.tools/gotestsum@v1.13.0
GOLANGCI := go run github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v2.15.0

.PHONY: run build test test-faults lint generate check-generated manifests bench vendor sbom

run: build
	@exec bin/turnwise serve --demo --first-admin admin@example.org

build:
	@scripts/setup.sh run
	@test -x bin/turnwise || echo "Building Turnwise. The first time takes a minute or two."
	@CGO_ENABLED=0 go build -trimpath -ldflags "-s -w -X main.version=$(VERSION)" -o bin/turnwise ./cmd/turnwise

test:
	@scripts/setup.sh test
	@scripts/test.sh

# The same faults as in make test, for six minutes.
test-faults:
	@scripts/setup.sh test
	TURNWISE_TEST_FAULTS=long go run ./scripts/withdb go test -count=1 -timeout 30m -v -run "TestFaults|TestOverload|TestNetworkLost|TestDiskFull" ./cmd/turnwise

lint:
	$(GOLANGCI) run ./...

generate:
	go tool templ fmt views
	go tool templ generate

check-generated: generate
	git diff --exit-code -- views

# The chart, checked, and rendered for those without Helm.
manifests:
	scripts/manifests.sh

bench:
	@scripts/setup.sh run
	go run ./bench

vendor:
	static/vendor.sh

# What the program is made of, as CycloneDX.
sbom: build
	go run ./scripts/sbom bin/turnwise $(VERSION) static/vendor.sh >bin/turnwise.cdx.json
