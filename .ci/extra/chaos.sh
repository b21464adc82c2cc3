#!/usr/bin/env bash
# The short form of the chaos run: processes killed, regions broken, phases rolled; nothing may be lost. Two minutes and a
# half, on SQLite; with KEYHAUL_CHAOS=all, as .ci/full has it, on each database that is there.
set -euo pipefail
bin=$(mktemp -d)
trap 'rm -rf "$bin"' EXIT
go build -o "$bin/chaos" ./internal/chaos
"$bin/chaos" -short -json
[ "${KEYHAUL_CHAOS:-}" = all ] || exit 0
"$bin/chaos" -short -json -db mariadb
"$bin/chaos" -short -json -db postgres
