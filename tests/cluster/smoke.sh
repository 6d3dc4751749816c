#!/usr/bin/env bash
# Checks the test cluster itself, with kubectl against its API server and with
# nothing of Gangplank between them: what fails through Gangplank and passes here
# is Gangplank's fault.
#
# One line for each check; the exit code says whether all passed. About a minute.
#
#   smoke.sh [BIN]    BIN is a folder of programs, by default that of build.sh
set -uo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
bin=${1:-$("$here/build.sh")} || exit 1
work=$(mktemp -d)
readonly limit=30 # seconds for any one command; all but the slowest need one
passed=0 failed=0
launchers=()

clean_up() {
  local pid
  for pid in "${launchers[@]}"; do
    kill "$pid" 2>/dev/null
  done
  wait
  if ((failed == 0)); then rm -rf -- "$work"; else echo "files are kept in $work"; fi
}
trap clean_up EXIT

# check NAME COMMAND... runs the command, and shows what it said if it fails.
check() {
  local name=$1 start=$SECONDS
  shift
  if "$@" >"$work/said" 2>&1; then
    printf 'PASS  %s (%d s)\n' "$name" $((SECONDS - start))
    ((passed++))
  else
    printf 'FAIL  %s\n' "$name"
    sed 's/^/      /' "$work/said"
    ((failed++))
  fi
}

# equal WANTED GOT
equal() {
  [[ $1 == "$2" ]] && return
  printf 'wanted: %q\ngot:    %q\n' "$1" "$2"
  return 1
}

# until_true COMMAND... repeats the command until it succeeds or the limit ends.
until_true() {
  local deadline=$((SECONDS + limit))
  until "$@"; do
    ((SECONDS < deadline)) || { echo "not within $limit s: $*"; return 1; }
    sleep 0.1
  done
}

# start NAME brings a cluster up. Its standard input is a pipe which this script
# holds open; the descriptor is in ${input[NAME]}.
declare -A input launcher
start() {
  local name=$1 other closed=
  mkfifo "$work/$name.in"
  # A launcher must not hold the other's pipe open.
  for other in "${input[@]}"; do closed+=" $other>&-"; done
  eval '"$bin/testcluster" up --bin "$bin" --dir "$work/$name" --name "$name" --verbose \
    <"$work/$name.in" >"$work/$name.json" 2>"$work/$name.err"'"$closed" '&'
  launcher[$name]=$!
  launchers+=($!)
  local descriptor
  exec {descriptor}>"$work/$name.in"
  input[$name]=$descriptor
}

is_up() { [[ -s $work/$1.json ]]; }
up_or_said() { until_true is_up "$1" || { cat "$work/$1.err"; return 1; }; }

# field CLUSTER NAME reads a text field of the report, pid CLUSTER CHILD the
# current process id of a child.
field() { sed -n 's/.*"'"$2"'":"\([^"]*\)".*/\1/p' "$work/$1.json"; }
pid() { cat "$work/$1/run/$2.pid"; }

as() { # as KUBECONFIG ARGS...
  local kubeconfig=$1
  shift
  timeout "$limit" "$bin/kubectl" --kubeconfig "$kubeconfig" "$@"
}
k() { as "$(field one admin_kubeconfig)" "$@"; }

# pod NAME POLICY COMMAND prints a pod which runs a shell command.
pod() {
  cat <<YAML
apiVersion: v1
kind: Pod
metadata: {name: $1}
spec:
  nodeName: $(field one node_name)
  restartPolicy: $2
  containers:
  - {name: main, image: ignored, stdin: true, command: [sh, -c, '$3']}
YAML
}

phase_is() { [[ $(k get pod "$1" -o 'jsonpath={.status.phase}') == "$2" ]]; }

# --- the cluster itself

exec_stdin()     { equal hello "$(echo hello | k exec -i work -- cat)"; }
exec_code()      { k exec work -- sh -c 'exit 7'; equal 7 $?; }
exec_stderr() {
  k exec work -- sh -c 'echo out; echo err >&2' >"$work/out" 2>"$work/err"
  equal out "$(<"$work/out")" && equal err "$(<"$work/err")"
}
exec_environment() {
  k exec work -- sh -c 'test "$PWD" = "$POD_DIR" && test -d "$POD_DIR" && test "$GREETING" = ""'
}
exec_unknown()   { ! k exec work -- no-such-program; }
exec_tty() {
  local said
  said=$(script -qec "stty rows 33 cols 99; timeout $limit '$bin/kubectl' --kubeconfig '$(field one admin_kubeconfig)' \
    exec -it work -- sh -c 'test -t 0 && test -t 1 && stty size; exit 5'" /dev/null </dev/null)
  equal 5 $? && equal 33\ 99 "$(tr -d '\r' <<<"$said" | grep -o '33 99')"
}
exec_large() { # both directions at once
  equal "$(sha256sum <"$work/large")" "$(k exec -i work -- cat <"$work/large" | sha256sum)"
}
exec_slow_reader() { # the tail must not be lost to a client which pauses
  equal 4000000 "$(k exec work -- head -c 4000000 /dev/zero | (sleep 3; wc -c))"
}
attach_stdin() { # the container ends at "quit", and is started again for the next protocol
  until_true phase_is echo Running && until_true k exec echo -- true || return 1
  equal 'got ping' "$(printf 'ping\nquit\n' | k attach -i -q echo)"
}
copy() {
  k cp "$work/large" work:copied && k exec work -- sh -c 'mv copied moved' &&
    k cp work:moved "$work/back" && cmp "$work/large" "$work/back"
}
forward() {
  rm -f "$work/forward"
  timeout "$limit" "$bin/kubectl" --kubeconfig "$(field one admin_kubeconfig)" \
    port-forward pod/work :"$etcd_port" >"$work/forward" 2>&1 &
  local forwarder=$! port i downloads=() result=0
  until_true grep -qs 'Forwarding from 127' "$work/forward" || return 1
  port=$(sed -n 's/.*127.0.0.1:\([0-9]*\) .*/\1/p' "$work/forward")
  for i in $(seq 30); do
    timeout "$limit" curl -sf "http://127.0.0.1:$port/metrics" -o "$work/metrics.$i" &
    downloads+=($!)
  done
  for i in "${downloads[@]}"; do wait "$i" || result=1; done
  for i in $(seq 30); do grep -q '^etcd_server_has_leader 1' "$work/metrics.$i" || result=1; done
  kill "$forwarder"
  wait "$forwarder" 2>/dev/null
  ((result == 0)) || cat "$work/forward"
  return $result
}
streams() { # streams PROTOCOL: everything that is upgraded
  check "$1: exec with stdin" exec_stdin
  check "$1: exec exit code" exec_code
  check "$1: exec keeps stderr apart" exec_stderr
  check "$1: exec on a terminal, with its size and exit code" exec_tty
  check "$1: exec of an unknown program fails" exec_unknown
  check "$1: exec of 50 MB in and out" exec_large
  check "$1: exec with a slow reader loses nothing" exec_slow_reader
  check "$1: attach with stdin" attach_stdin
  check "$1: cp of 50 MB there and back" copy
  check "$1: 30 connections in parallel through one port-forward" forward
}

logs_tail()   { equal $'4\n5' "$(k logs --tail=2 count)"; }
logs_all()    { equal $'1\n2\n3\n4\n5' "$(k logs count)"; }
logs_follow() { equal 3 "$(k logs -f ticks | wc -l)"; }
exit_code()   { equal 3 "$(k get pod fails -o 'jsonpath={.status.containerStatuses[0].state.terminated.exitCode}')"; }
restarted()   { (($(k get pod again -o 'jsonpath={.status.containerStatuses[0].restartCount}') >= 2)); }
refused()     { k get pod volumes -o 'jsonpath={.status.message}' | grep -q 'mounts no volumes'; }
run_interactive() {
  local spec="{\"spec\":{\"nodeName\":\"$(field one node_name)\"}}"
  equal HELLO "$( (sleep 2; echo hello) | k run -i --rm -q --restart=Never --image=none --overrides="$spec" upper -- tr a-z A-Z)"
}
no_process() { ! pgrep -f "$1" >/dev/null; }
delete_pod() {
  k exec work -- sh -c 'setsid sleep 98765 >/dev/null 2>&1 &' && k delete pod work &&
    until_true no_process 'sleep 98765' && ! k get pod work
}
delete_namespace() {
  k create namespace short && k create -n short configmap any && k delete namespace short && ! k get namespace short
}
collect_garbage() {
  k create configmap owner && local uid && uid=$(k get configmap owner -o 'jsonpath={.metadata.uid}') &&
    k create configmap owned && k patch configmap owned --type=merge -p \
    "{\"metadata\":{\"ownerReferences\":[{\"apiVersion\":\"v1\",\"kind\":\"ConfigMap\",\"name\":\"owner\",\"uid\":\"$uid\"}]}}" &&
    k delete configmap owner && until_true owned_is_gone
}
owned_is_gone() { ! k get configmap owned >/dev/null 2>&1; }

# --- the identities of the exit

whoami_as() { # whoami_as KUBECONFIG FIELD
  equal "$2" "$(as "$1" auth whoami -o 'jsonpath={.status.userInfo.username}' "${@:3}")"
}
forbidden() { ! "$@" && grep -qi forbidden "$work/said"; }
exit_identity() { # exit_identity WHAT KUBECONFIG OWN_NAME
  check "$1: is $3" whoami_as "$2" "$3"
  check "$1: impersonates a user" whoami_as "$2" spiffe://a/ns/b --as spiffe://a/ns/b
  check "$1: may not impersonate a group" forbidden as "$2" get namespaces --as alice --as-group system:masters
  check "$1: may do nothing else" forbidden as "$2" get namespaces
}
audited() {
  grep '"impersonatedUser":{"username":"spiffe://a/ns/b"' "$(field one audit_log)" |
    grep -q '"user":{"username":"gangplank-exit"'
}

# --- supervision

killed_and_back() { # killed_and_back CHILD: with the same address and data
  local old
  old=$(pid one "$1") && k create configmap "before-$1" && kill -9 "$old" &&
    until_true pid_differs "$1" "$old" && until_true api_ready && k get configmap "before-$1"
}
pid_differs() { [[ $(pid one "$1") != "$2" ]]; }
api_ready()   { k get --raw /readyz >/dev/null 2>&1; }
pod_runs_again() { until_true phase_is again Running && until_true k exec echo -- true; }
none_left() { # by argument, and the processes of pods by environment
  no_process "$work/$1/" && ! grep -lqsz "^POD_DIR=$work/$1/" /proc/[0-9]*/environ
}
ended()       { ! kill -0 "${launcher[$1]}" 2>/dev/null; }

# --- everything in order

head -c 50000000 /dev/urandom >"$work/large"
start one
start two
check 'cluster one is up' up_or_said one
check 'cluster two is up beside it' up_or_said two
((failed == 0)) || exit 1
grep -h ' ready' "$work"/*.err
etcd_port=$(tr '\0' '\n' <"/proc/$(pid one etcd)/cmdline" | sed -n 's/--listen-client-urls=.*://p')

{
  pod work Never 'sleep 3600'; echo ---
  pod echo Always 'while read line; do test "$line" = quit && exit; echo "got $line"; done'; echo ---
  pod count Never 'seq 5'; echo ---
  pod ticks Never 'for i in 1 2 3; do sleep 1; echo $i; done'; echo ---
  pod fails Never 'exit 3'; echo ---
  pod again Always 'sleep 0.1'; echo ---
  pod volumes Never 'true' | sed 's/^spec:/&\n  volumes: [{name: any, emptyDir: {}}]/'
} >"$work/pods.yaml"
check 'pods are accepted' k apply -f "$work/pods.yaml"
check 'a pod runs' until_true phase_is work Running
check 'logs -f until the end' logs_follow
check 'a pod succeeds' until_true phase_is count Succeeded
check 'a pod fails' until_true phase_is fails Failed
check 'the exit code is reported' exit_code
check 'an ended container is started again' until_true restarted
check 'what the node does not do is refused' until_true refused
check 'logs' logs_all
check 'logs --tail' logs_tail
check 'POD_DIR is the working directory' exec_environment
check 'run -i --rm' run_interactive

export KUBECTL_REMOTE_COMMAND_WEBSOCKETS=true KUBECTL_PORT_FORWARD_WEBSOCKETS=true
streams WebSocket
export KUBECTL_REMOTE_COMMAND_WEBSOCKETS=false KUBECTL_PORT_FORWARD_WEBSOCKETS=false
streams SPDY

exit_identity 'certificate' "$(field one proxy_kubeconfig)" gangplank-exit
exit_identity 'token' "$(field one proxy_token_kubeconfig)" system:serviceaccount:gangplank-system:gangplank-exit
check 'the audit log names both users' audited

check 'a deleted pod takes its processes along' delete_pod
check 'a namespace is deleted with its content' delete_namespace
check 'an owned object goes with its owner' collect_garbage

check 'kube-apiserver is killed and comes back' killed_and_back kube-apiserver
check 'etcd is killed and comes back' killed_and_back etcd
check 'the node is killed and comes back' killed_and_back node
check 'its pods run again' pod_runs_again

kill -9 "${launcher[one]}"
check 'the launcher is killed and nothing is left' until_true none_left one
exec {input[two]}>&-
check 'standard input ends and so does the cluster' until_true ended two
check 'nothing is left of it' none_left two

printf '%d passed, %d failed\n' "$passed" "$failed"
((failed == 0))
