#!/usr/bin/env bash
# Fetches kubectls of other ages than the test cluster's, once, into a cache: 1.33 is built from its Go module; 1.20,
# which speaks SPDY only, is Debian 12's own, and is left out where apt does not offer it.
#
# Standard output has a line for each that is there: its minor version, a blank, and the program's path. Everything
# else goes to standard error.
#
#   GANGPLANK_CACHE   where the cache is; <repository>/.cache by default
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
cache=${GANGPLANK_CACHE:-$(cd "$here/../.." && pwd)/.cache}/cluster
source "$here/building.sh"

readonly debian_package=kubernetes-client
readonly apt_seconds=120 # for the lists of packages, or for the package of 8 MB; a mirror that takes longer is away

built=$cache/kubectl-$(digest kubectl-1.33/go.mod kubectl-1.33/go.sum)/kubectl-1.33
debian=$cache/kubectl-debian-1.20/kubectl-1.20
left_out=${debian%/*}/left-out # touched when it was not to be had; then nobody tries again for a day

# offered prints the version of the package that apt would fetch, if it is a 1.20.
offered() { apt-cache "${apt_options[@]}" policy "$debian_package" | awk '$1 == "Candidate:" && $2 ~ /^1\.20\./ { print $2 }'; }

# fetch_debian puts Debian's kubectl into the cache. The package is not installed: only its one program is taken out
# of it, after apt has checked the archive's signature.
fetch_debian() {
  local folder version
  if ! command -v apt-get >/dev/null || ! command -v dpkg-deb >/dev/null; then
    say 'kubectl 1.20 is left out: it is a package of Debian 12, and there is no apt here'
    return
  fi
  folder=$(mktemp -d "$cache/apt.XXXXXX")
  temporary=$folder
  apt_options=(-q -o APT::Sandbox::User="$(id -un)")
  version=$(offered)
  if [[ -z $version ]]; then
    # The machine's own lists may never have been fetched, and only root may do that.
    mkdir -p "$folder/lists/partial" "$folder/archives/partial"
    apt_options+=(-o Dir::State::lists="$folder/lists" -o Dir::Cache="$folder")
    timeout "$apt_seconds" apt-get "${apt_options[@]}" update >&2 || true
    version=$(offered)
  fi
  if [[ -z $version ]]; then
    say "kubectl 1.20 is left out: apt offers no $debian_package 1.20 here; Debian 12 has it"
  elif (cd "$folder" && timeout "$apt_seconds" apt-get "${apt_options[@]}" download "$debian_package=$version" >&2) &&
    dpkg-deb --extract "$folder"/"$debian_package"_*.deb "$folder/package"; then
    mv -- "$folder/package/usr/bin/kubectl" "$debian"
    say "fetched kubectl 1.20 ($debian_package $version)"
  else
    say "kubectl 1.20 is left out: apt could not fetch $debian_package $version"
  fi
  rm -rf -- "$folder"
  temporary=
}

wants_debian() { [[ ! -x $debian && -z $(find "$left_out" -mtime -1 2>/dev/null) ]]; }

if [[ ! -x $built ]] || wants_debian; then
  need_go "$here/kubectl-1.33"
  take_cache
  mkdir -p "${built%/*}" "${debian%/*}"
  version=$(kubernetes_version "$here/kubectl-1.33")
  build "$here/kubectl-1.33" "$(linker_flags_for "$version")" k8s.io/kubernetes/cmd/kubectl "$built"
  if wants_debian; then
    fetch_debian
    [[ -x $debian ]] || touch -- "$left_out"
  fi
fi
printf '1.33 %s\n' "$built"
if [[ -x $debian ]]; then
  printf '1.20 %s\n' "$debian"
fi
