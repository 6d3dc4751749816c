#!/usr/bin/env bash
# `make test`: the gates in order, each with its name and time, so that a person sees where it is.
set -euo pipefail
cd "$(dirname "$0")/.."

started=$SECONDS
gate() {
  local name=$1 began=$SECONDS
  shift
  printf '\n== %s\n' "$name"
  "$@"
  printf '== %s: ok, %ds\n' "$name" $((SECONDS - began))
}

gate 'format' make --no-print-directory fmt
gate 'lints' make --no-print-directory lint
gate 'unit tests' make --no-print-directory unit
gate 'fuzz targets and seeds' make --no-print-directory seeds
gate 'work done' make --no-print-directory work
gate 'documentation' make --no-print-directory doc
gate 'the real cluster' make --no-print-directory cluster
gate 'behaviour' make --no-print-directory behaviour
gate 'dependencies' make --no-print-directory deny
printf '\nmake test: everything holds, %ds\n' $((SECONDS - started))
