#!/usr/bin/env bash
# Every operation by every form in every phase: under the race detector each form only has its turn.
set -euo pipefail
go test -count=1 -run '^TestEveryOperationGoesToItsSide$' ./shim
