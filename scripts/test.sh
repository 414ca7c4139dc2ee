#!/bin/sh
# Runs every test against one throw-away PostgreSQL server, which the packages share. With TURNWISE_TEST_RACE=1 the race detector watches all
# but the long tests (those that testing.Short skips), which then run by themselves.
set -eu
tests() {
	go run ./scripts/withdb go run gotest.tools/gotestsum@v1.13.0 --format pkgname-and-test-fails -- -count=1 -timeout 25m ${TURNWISE_TEST_FLAGS:-} "$@"
}
if [ -z "${TURNWISE_TEST_RACE:-}" ]; then
	tests ./...
	exit
fi
tests -race -short ./...
long=$(grep -rl --include='*_test.go' 'testing\.Short()' . | xargs awk '/^func Test/ { name = $2; sub(/\(.*/, "", name) } /testing\.Short\(\)/ { print name }' | sort -u | paste -s -d '|' -)
folders=$(grep -rl --include='*_test.go' 'testing\.Short()' . | xargs -n 1 dirname | sort -u)
# shellcheck disable=SC2086
tests -run "^($long)\$" $folders
