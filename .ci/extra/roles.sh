#!/usr/bin/env bash
# RAM roles by credentials-go, which is not in this module: its program is built first and run as a process.
set -euo pipefail
cd "$(dirname "$0")/../.."
bin=$(mktemp -d)
trap 'rm -rf "$bin"' EXIT
(cd kmsmigrate/kmstest/testdata/v2sdk && go build -o "$bin/v2sdk" .)
KEYHAUL_V2SDK="$bin/v2sdk" go test -count=1 -v -run '^TestRolesOpenTheGateway$' ./kmsmigrate/alikms
