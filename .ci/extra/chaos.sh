#!/usr/bin/env bash
# The short form of the chaos run, on each database that is there: processes killed, regions broken, phases rolled;
# nothing may be lost. About two and a half minutes for each.
set -euo pipefail
bin=$(mktemp -d)
trap 'rm -rf "$bin"' EXIT
go build -o "$bin/chaos" ./internal/chaos
"$bin/chaos" -short -json
if [ -n "${KEYHAUL_MYSQL_DSN:-}" ]; then "$bin/chaos" -short -json -db mariadb; fi
if [ -n "${KEYHAUL_POSTGRES_DSN:-}" ]; then "$bin/chaos" -short -json -db postgres; fi
