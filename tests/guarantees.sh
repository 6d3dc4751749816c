#!/usr/bin/env bash
# guarantees.sh LOG…: whether each test that docs/guarantees.md names has run and held, by what `cargo test` printed.
set -euo pipefail
page=$(dirname "$0")/../docs/guarantees.md
missing=0
while read -r name; do
  grep -qxF "test $name ... ok" "$@" || { echo "guarantees: $name has not run" >&2; missing=1; }
done < <(grep -oE '`[a-z0-9_]+(::[a-z0-9_]+)+`' "$page" | tr -d '`' | sort -u)
exit "$missing"
