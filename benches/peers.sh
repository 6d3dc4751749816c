#!/usr/bin/env bash
# Installs the peers of the side-by-side suite that registries have, at pinned versions: rathole into .cache/,
# nginx, haproxy and OpenSSH's server as Debian packages (as root only). What cannot be had is left out, and the
# suite says so. frp, chisel and konnectivity are measured where their programs are on PATH.
set -euo pipefail
cd "$(dirname "$0")/.."
tools=$PWD/.cache/tools
RATHOLE=0.5.0
declare -A DEBIAN=([nginx]='1.22.1*' [haproxy]='2.6.12*' [sshd]='1:9.2p1*')
declare -A PACKAGE=([nginx]=nginx [haproxy]=haproxy [sshd]=openssh-server)

if [[ ! -x $tools/bin/rathole ]]; then
  echo "rathole $RATHOLE: building, once"
  # Without --locked: the dependencies that it was released with do not build with today's Rust.
  CARGO_TARGET_DIR=$PWD/.cache/rathole cargo install --quiet rathole --version "=$RATHOLE" --root "$tools" \
    --no-default-features --features server,client,tls,noise ||
    echo "rathole $RATHOLE could not be built (it wants OpenSSL's headers and pkg-config)"
fi

wanted=()
for program in nginx haproxy sshd; do
  if ! PATH=$PATH:/usr/sbin command -v "$program" > /dev/null; then
    wanted+=("${PACKAGE[$program]}=${DEBIAN[$program]}")
  fi
done
if ((${#wanted[@]} == 0)); then exit 0; fi
if ((EUID != 0)) || ! command -v apt-get > /dev/null; then
  echo "not installed, and only root on Debian can: ${wanted[*]}"
  exit 0
fi

# Installed to be run by the suite: none of them is to start as a service.
policy=/usr/sbin/policy-rc.d
if [[ ! -e $policy ]]; then
  printf '#!/bin/sh\nexit 101\n' > "$policy"
  chmod +x "$policy"
  trap 'rm -f "$policy"' EXIT
fi
echo "installing ${wanted[*]}"
export DEBIAN_FRONTEND=noninteractive
apt-get update -qq || true
for package in "${wanted[@]}"; do
  apt-get install -qq --no-install-recommends "$package" > /dev/null || echo "$package could not be installed"
done
