#!/usr/bin/env bash
# Clients of other languages against the fake KMS; installs Node where there is none.
set -euo pipefail
command -v npm >/dev/null || { apt-get update -qq && apt-get install -y -qq nodejs npm >/dev/null; }
bash "$(dirname "$0")/../../kmsmigrate/kmstest/testdata/clients.sh"
