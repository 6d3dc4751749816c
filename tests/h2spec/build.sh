#!/usr/bin/env bash
# Builds h2spec's tests from Go modules, once, into a cache (seconds). The last line on standard output is the program.
#
#   GANGPLANK_CACHE   where the cache is; <repository>/.cache by default
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
cache=${GANGPLANK_CACHE:-$PWD/../../.cache}/h2spec
key=$(sha256sum -- *.go go.mod go.sum | sha256sum | cut -c1-16)
program=$cache/$key/h2spec
if [[ ! -x $program ]]; then
  mkdir -p "$cache"
  # In a folder of its own until it is whole: another run may be building the same.
  new=$(mktemp -d -p "$cache")
  CGO_ENABLED=0 go build -trimpath -buildvcs=false -o "$new/h2spec" . >&2
  chmod 755 "$new"
  mv -T -- "$new" "$cache/$key" 2> /dev/null || rm -rf -- "$new"
fi
printf '%s\n' "$program"
