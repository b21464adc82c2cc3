#!/usr/bin/env bash
# Clients of other languages and signature versions against the fake: two Node packages (HMAC-SHA1 over GET and POST) and the V2.0 Go SDK
# (ACS3-HMAC-SHA256, and HMAC-SHA1). Each does its work on the gateway and on an instance, and must fail with a wrong secret key.
# Needs go, node and npm.
set -euo pipefail
cd "$(dirname "$0")"
root=$(cd ../../.. && pwd)
dir=$(mktemp -d)
server=
finish() { [ -z "$server" ] || kill "$server" 2>/dev/null || true; rm -rf "$dir"; }
trap finish EXIT

(cd "$root" && go build -o "$dir/fakekms" ./examples/fakekms)
"$dir/fakekms" -dir "$dir/out" >"$dir/log" 2>&1 &
server=$!
for _ in $(seq 300); do
	grep -q '^ready$' "$dir/log" && break
	kill -0 "$server" 2>/dev/null || { cat "$dir/log"; exit 1; }
	sleep 0.1
done
grep -q '^ready$' "$dir/log"

mkdir "$dir/node"
cp node/package.json node/clients.js "$dir/node/"
(cd "$dir/node" && npm install --no-package-lock --no-audit --no-fund --silent)
cat "$dir"/out/*.pem >"$dir/ca.pem"
(cd "$dir/node" && NODE_EXTRA_CA_CERTS="$dir/ca.pem" node clients.js "$dir/out")

(cd v2sdk && go vet ./... && go run . "$dir/out")
