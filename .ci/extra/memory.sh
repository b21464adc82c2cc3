#!/usr/bin/env bash
# The memory of a sweep over a million records is that of one over ten thousand.
set -euo pipefail
cd "$(dirname "$0")/../.."
KEYHAUL_LONG=1 go test -count=1 -v -run '^TestMemoryOfASweepDoesNotGrowWithItsRecords$' ./rekey
