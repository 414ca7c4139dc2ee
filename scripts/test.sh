#!/bin/sh
# Runs every test against one throw-away PostgreSQL server, which the packages share.
set -eu
exec go run ./scripts/withdb go run gotest.tools/gotestsum@v1.13.0 --format pkgname-and-test-fails -- -count=1 -timeout 20m ${TURNWISE_TEST_FLAGS:-} ./...
