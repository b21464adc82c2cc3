#!/usr/bin/env bash
# The short form of the chaos run, on each database that is there: processes killed, regions broken, phases rolled;
# nothing may be lost. About two and a half minutes for each.
set -euo pipefail
go build -o "${TMPDIR:-/tmp}/keyhaul-chaos" ./internal/chaos
chaos="${TMPDIR:-/tmp}/keyhaul-chaos"
"$chaos" -short -json
if [ -n "${KEYHAUL_MYSQL_DSN:-}" ]; then "$chaos" -short -json -db mariadb; fi
if [ -n "${KEYHAUL_POSTGRES_DSN:-}" ]; then "$chaos" -short -json -db postgres; fi
