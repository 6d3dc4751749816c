# Sourced by the scripts that build programs from Go modules into a cache: one build at a time there, with progress
# on standard error. They say where: $here is the folder of the scripts, $cache that of the programs.

readonly heartbeat_seconds=30

say() { printf 'cluster: %s\n' "$*" >&2; }

# digest FILE... prints 16 hex digits for names and contents.
digest() { (cd "$here" && sha256sum -- "$@") | sha256sum | cut -c1-16; }

# need_go FOLDER fails unless there is a Go toolchain for the module in that folder.
need_go() {
  if ! command -v go >/dev/null; then
    say "no Go toolchain found. Install Go $(awk '$1 == "go" { print $2 }' "$1/go.mod") or newer" \
      "(https://go.dev/dl, or your distribution's package) and put it on PATH."
    exit 1
  fi
}

# take_cache waits until nobody else builds into the cache: two would compile the same things twice.
take_cache() {
  local tool
  for tool in flock sha256sum; do
    command -v "$tool" >/dev/null || { say "$tool is needed (util-linux, coreutils)"; exit 1; }
  done
  mkdir -p "$cache"
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
}

# kubernetes_version FOLDER prints the version that the module in that folder asks for.
kubernetes_version() { awk '$1 == "k8s.io/kubernetes" && $2 ~ /^v/ { print $2; exit }' "$1/go.mod"; }

# linker_flags_for VERSION prints what makes programs of Kubernetes say their version;
# without it they call themselves v0.0.0, and clients which check the version refuse.
linker_flags_for() {
  local version=$1 major minor package flags='-s -w'
  IFS=. read -r major minor _ <<<"${version#v}"
  for package in k8s.io/component-base/version k8s.io/client-go/pkg/version; do
    flags+=" -X $package.gitVersion=$version -X $package.gitMajor=$major -X $package.gitMinor=$minor"
    flags+=" -X $package.gitTreeState=clean -X $package.gitCommit=unknown"
  done
  printf '%s\n' "$flags"
}

compiler=
temporary=
clean_up() {
  [[ -z $compiler ]] || kill "$compiler" 2>/dev/null || true
  [[ -z $temporary ]] || rm -rf -- "$temporary"
}
trap clean_up EXIT
trap 'exit 130' INT TERM

# build FOLDER FLAGS PACKAGE FILE compiles one program of the module in that folder, and shows that it is alive
# meanwhile.
build() {
  local folder=$1 flags=$2 package=$3 file=$4 name=${4##*/} start=$SECONDS next=$heartbeat_seconds
  [[ -x $file ]] && return
  say "building $name"
  temporary=$file.$$
  # Politely: tests or an editor may be at work beside it. And without the lock,
  # which must not outlive this script.
  (cd "$folder" && exec nice -n 5 go build -ldflags "$flags" -o "$temporary" "$package") 9>&- &
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
