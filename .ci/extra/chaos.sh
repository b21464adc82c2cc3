#!/usr/bin/env bash
# The short form of the chaos run: processes killed, regions broken, phases rolled; nothing may be lost. Under two minutes.
set -euo pipefail
go run ./internal/chaos -short -json
