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

readonly heartbeat_seconds=30
readonly kubernetes_programs=(etcd kube-apiserver kube-controller-manager kubectl)

say() { printf 'cluster: %s\n' "$*" >&2; }

# digest FILE... prints 16 hex digits for names and contents.
digest() { (cd "$here" && sha256sum -- "$@") | sha256sum | cut -c1-16; }

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

if ! command -v go >/dev/null; then
  say "no Go toolchain found. Install Go $(awk '$1 == "go" { print $2 }' "$here/go.mod") or newer" \
    "(https://go.dev/dl, or your distribution's package) and put it on PATH."
  exit 1
fi
for tool in flock sha256sum; do
  command -v "$tool" >/dev/null || { say "$tool is needed (util-linux, coreutils)"; exit 1; }
done

mkdir -p "$kubernetes" "$bin"
# One build at a time in a cache: two would compile the same things twice.
exec 9>"$cache/.lock"
if ! flock --nonblock 9; then
  say "another build is going on in $cache, waiting for it"
  flock 9
fi

export CGO_ENABLED=0 GOWORK=off GOFLAGS='-mod=readonly -trimpath -buildvcs=false'
# A module which the proxies do not have must fail at once. `direct` would try
# the source's git host, which a sealed machine waits for in vain.
GOPROXY=$(cd "$here" && go env GOPROXY)
GOPROXY=${GOPROXY%[,|]direct}
export GOPROXY

# What `kubectl version` and the API server report is set by the linker; without
# it they call themselves v0.0.0, and clients which check the version refuse.
version=$(awk '$1 == "k8s.io/kubernetes" && $2 ~ /^v/ { print $2; exit }' "$here/go.mod")
IFS=. read -r major minor _ <<<"${version#v}"
linker_flags='-s -w'
for package in k8s.io/component-base/version k8s.io/client-go/pkg/version; do
  linker_flags+=" -X $package.gitVersion=$version -X $package.gitMajor=$major -X $package.gitMinor=$minor"
  linker_flags+=" -X $package.gitTreeState=clean -X $package.gitCommit=unknown"
done

compiler=
temporary=
clean_up() {
  [[ -z $compiler ]] || kill "$compiler" 2>/dev/null || true
  [[ -z $temporary ]] || rm -f -- "$temporary"
}
trap clean_up EXIT
trap 'exit 130' INT TERM

# build PACKAGE FILE compiles one program, and shows that it is alive meanwhile.
build() {
  local package=$1 file=$2 name=${2##*/} start=$SECONDS next=$heartbeat_seconds
  [[ -x $file ]] && return
  say "building $name"
  temporary=$file.$$
  # Politely: tests or an editor may be at work beside it. And without the lock,
  # which must not outlive this script.
  (cd "$here" && exec nice -n 5 go build -ldflags "$linker_flags" -o "$temporary" "$package") 9>&- &
  compiler=$!
  while kill -0 "$compiler" 2>/dev/null; do
    sleep 0.2
    if ((SECONDS - start >= next)); then
      say "still building $name, $((SECONDS - start)) s"
      next=$((next + heartbeat_seconds))
    fi
  done
  wait "$compiler" || { compiler= && say "$name did not build" && exit 1; }
  compiler=
  mv -- "$temporary" "$file"
  temporary=
  say "built $name in $((SECONDS - start)) s"
}

# forget_old removes what earlier states of our own sources left and nobody has
# asked for in a week. The programs of Kubernetes are hard links and cost nothing.
forget_old() { find "$cache/$kubernetes_key" -maxdepth 1 -name 'bin-*' -mtime +7 -exec rm -rf -- {} +; }

if ! is_complete "$kubernetes" "${kubernetes_programs[@]}"; then
  say "Kubernetes $version is built from source into $cache: about ten minutes on two cores, once"
fi
build go.etcd.io/etcd/server/v3 "$kubernetes/etcd"
build k8s.io/kubernetes/cmd/kube-apiserver "$kubernetes/kube-apiserver"
build k8s.io/kubernetes/cmd/kube-controller-manager "$kubernetes/kube-controller-manager"
build k8s.io/kubernetes/cmd/kubectl "$kubernetes/kubectl"
build ./cmd/testcluster "$bin/testcluster"
for program in "${kubernetes_programs[@]}"; do
  ln -f -- "$kubernetes/$program" "$bin/$program"
done
forget_old
finish
