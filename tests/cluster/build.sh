#!/usr/bin/env bash
# Builds the programs of the test cluster from Go modules, once, into a cache.
#
# The last line on standard output is the path of a folder which holds etcd,
# kube-apiserver, kube-controller-manager, kubectl and testcluster. Everything
# else goes to standard error.
#
#   GANGPLANK_CACHE   where the cache is; <repository>/.cache by default
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
cache=${GANGPLANK_CACHE:-$(cd "$here/../.." && pwd)/.cache}/cluster
source "$here/building.sh"

readonly kubernetes_programs=(etcd kube-apiserver kube-controller-manager kubectl)

# The programs of Kubernetes depend on the module alone, and take ten minutes.
# Ours takes seconds, and so has a key of its own: an edit of the node must not
# build Kubernetes again.
kubernetes_key=$(digest go.mod go.sum)
own_key=$(digest go.mod go.sum $(cd "$here" && find cmd internal -name '*.go' ! -name '*_test.go' | LC_ALL=C sort))
kubernetes=$cache/$kubernetes_key/kubernetes
bin=$cache/$kubernetes_key/bin-$own_key

is_complete() {
  local folder=$1 program
  shift
  for program in "$@"; do
    [[ -x $folder/$program ]] || return 1
  done
}

finish() {
  touch -- "$bin" # in use: see forget_old
  printf '%s\n' "$bin"
  exit 0
}

if is_complete "$bin" "${kubernetes_programs[@]}" testcluster; then
  finish
fi

need_go "$here"
mkdir -p "$kubernetes" "$bin"
take_cache

# forget_old removes what earlier states of our own sources left and nobody has
# asked for in a week. The programs of Kubernetes are hard links and cost nothing.
forget_old() { find "$cache/$kubernetes_key" -maxdepth 1 -name 'bin-*' -mtime +7 -exec rm -rf -- {} +; }

version=$(kubernetes_version "$here")
flags=$(linker_flags_for "$version")
if ! is_complete "$kubernetes" "${kubernetes_programs[@]}"; then
  say "Kubernetes $version is built from source into $cache: about ten minutes on two cores, once"
fi
build "$here" "$flags" go.etcd.io/etcd/server/v3 "$kubernetes/etcd"
build "$here" "$flags" k8s.io/kubernetes/cmd/kube-apiserver "$kubernetes/kube-apiserver"
build "$here" "$flags" k8s.io/kubernetes/cmd/kube-controller-manager "$kubernetes/kube-controller-manager"
build "$here" "$flags" k8s.io/kubernetes/cmd/kubectl "$kubernetes/kubectl"
build "$here" "$flags" ./cmd/testcluster "$bin/testcluster"
for program in "${kubernetes_programs[@]}"; do
  ln -f -- "$kubernetes/$program" "$bin/$program"
done
forget_old
finish
