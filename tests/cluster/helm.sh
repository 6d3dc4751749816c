#!/usr/bin/env bash
# Builds Helm from its Go module, once, into a cache: the chart is tested with the program that installs it.
#
# The last line on standard output is the program's path. Everything else goes to standard error.
#
#   GANGPLANK_CACHE   where the cache is; <repository>/.cache by default
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
cache=${GANGPLANK_CACHE:-$(cd "$here/../.." && pwd)/.cache}/cluster
source "$here/building.sh"

helm=$cache/helm-$(digest helm/go.mod helm/go.sum)/helm

if [[ ! -x $helm ]]; then
  need_go "$here/helm"
  take_cache
  mkdir -p "${helm%/*}"
  version=$(awk '$1 == "helm.sh/helm/v4" { print $2; exit }' "$here/helm/go.mod")
  # Without its version it would call itself a development one, which charts may refuse.
  build "$here/helm" "-s -w -X helm.sh/helm/v4/internal/version.version=$version" helm.sh/helm/v4/cmd/helm "$helm"
fi
printf '%s\n' "$helm"
