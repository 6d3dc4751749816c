#!/usr/bin/env bash
# The main job, as a person would type it: ordinary kubectl with its own certificate, through a relay that
# cannot read a byte, to a real kube-apiserver that has no reachable address.
# KEEP=1 leaves everything running and says what to try.
set -euo pipefail
cd "$(dirname "$0")/.."
root=$PWD
work=$root/.demo
bin=$(tests/cluster/build.sh)
PATH=$root/target/debug:$bin:$PATH
unset KUBECONFIG
children=()

finish() {
  local code=$?
  for child in "${children[@]}"; do kill "$child" 2> /dev/null || true; done
  for child in "${children[@]}"; do wait "$child" 2> /dev/null || true; done
  if ((code != 0)); then printf '\nThe demo failed (exit code %d). Logs: %s/*.log\n' "$code" "$work" >&2; fi
}
trap finish EXIT

bold=$(tput bold 2> /dev/null || true)
plain=$(tput sgr0 2> /dev/null || true)
if [[ -n ${NO_COLOR-} || ! -t 1 ]]; then bold='' plain=''; fi
title() { printf '\n%s# %s%s\n' "$bold" "$1" "$plain"; }
show() { printf '%s$ %s%s\n' "$bold" "$*" "$plain"; }
run() { show "$@"; "$@"; }
refused() { # runs what must be denied
  show "$@"
  if "$@"; then echo "This should have been denied." >&2; return 1; fi
}
wait_for() { # what, then a command that succeeds in the end; at most 60 s
  local what=$1 deadline=$((SECONDS + 60))
  shift
  until "$@" > /dev/null 2>&1; do
    if ((SECONDS > deadline)); then echo "waited 60 s in vain for $what" >&2; return 1; fi
    sleep 0.1
  done
}
field() { sed -nE "s/.*\"$2\":\"([^\"]*)\".*/\1/p" "$1" | head -n 1; }

rm -rf "$work"
mkdir -p "$work"
cd "$work"

title 'A private cluster: a real kube-apiserver, etcd, controller-manager and a node'
mkfifo lifeline
testcluster up --name demo --bin "$bin" --dir "$work/cluster" < lifeline > cluster.json 2> cluster.log &
children+=($!)
exec 9> lifeline # the cluster lives as long as this stays open
wait_for 'the cluster' test -s cluster.json
admin=$(field cluster.json admin_kubeconfig)
node=$(field cluster.json node_name)
run kubectl --kubeconfig "$admin" get nodes

title 'Five authorities: the relay, the agents, the exit, and two organisations of their own'
for authority in relay agents exit team-a team-b; do
  run gangplank pki init "ca/$authority" --common-name "$authority CA"
done
run gangplank pki issue --for relay --ca ca/relay --host relay.demo.example --out relay
run gangplank pki issue --for agent --ca ca/agents --cluster harbour.acme --out agent
run gangplank pki issue --for exit --ca ca/exit --cluster harbour.acme --domain tunnels.demo.example --out exit
run gangplank pki issue --for caller --ca ca/team-a --common-name ns/shop/id/deployer --out deployer
run gangplank pki issue --for caller --ca ca/team-b --common-name ns/audit/id/reader --out reader

title 'Trust at the exit: one file an organisation, a name prefix each'
mkdir trust
trust() { # organisation, prefix
  cat << YAML
apiVersion: multicluster.admiralty.io/v1alpha1
kind: TrustedIdentityProvider
metadata:
  name: $1
spec:
  prefix: "$2"
  certificateAuthorityData: $(base64 -w 0 "ca/$1/ca.crt")
YAML
}
trust team-a spiffe://team-a.example/ > trust/team-a.yaml
trust team-b spiffe://team-b.example/ > trust/team-b.yaml
run cut -c -100 trust/team-a.yaml

title 'The relay (the entrance) and the agent (the exit); the agent dials out'
cat > relay.yaml << YAML
listen: "127.0.0.1:0"
domain: tunnels.demo.example
tunnel:
  serverName: relay.demo.example
  certificateFile: relay.crt
  keyFile: relay.key
  clientCAFile: ca/agents/ca.crt
admin: { listen: "127.0.0.1:0" }
log: { format: json }
YAML
gangplank relay --config relay.yaml 2> relay.log &
children+=($!)
wait_for 'the relay' grep -q '"listening"' relay.log
entrance=$(field relay.log listen.addr)
relay_admin=$(field relay.log admin.addr)
cat > agent.yaml << YAML
relays:
  - address: "$entrance"
    serverName: relay.demo.example
    caFile: ca/relay/ca.crt
tunnel: { certificateFile: agent.crt, keyFile: agent.key }
exit:
  servingCertificate: { certificateFile: exit.crt, keyFile: exit.key }
  trust: { directory: trust }
  upstream: { kubeconfig: "$(field cluster.json proxy_kubeconfig)" }
admin: { listen: "127.0.0.1:0" }
log: { format: json }
YAML
run cat agent.yaml
gangplank agent --config agent.yaml 2> agent.log &
children+=($!)
wait_for 'the agent' grep -q '"listening"' agent.log
agent_admin=$(field agent.log admin.addr)
wait_for 'the tunnel' curl -sf "http://$agent_admin/readyz"
run gangplank status --admin "$relay_admin"
run gangplank status --admin "$agent_admin"

title 'Kubeconfigs of the callers: the entrance, the exit'"'"'s authority, their own certificate'
for caller in deployer reader; do
  run gangplank kubeconfig --cluster harbour.acme --domain tunnels.demo.example --connect "$entrance" \
    --certificate-authority ca/exit/ca.crt --client-certificate "$caller.crt" --client-key "$caller.key" \
    --out "$caller.kubeconfig"
done
deployer() { show "kubectl $*   # as deployer of team-a"; kubectl --kubeconfig deployer.kubeconfig "$@"; }
reader() { show "kubectl $*   # as reader of team-b"; kubectl --kubeconfig reader.kubeconfig "$@"; }

title 'Who are they at the cluster?'
deployer auth whoami
reader auth whoami

title 'Plain RBAC decides: the deployer may work in shop, the reader may read config maps there'
kubectl --kubeconfig "$admin" create namespace shop
kubectl --kubeconfig "$admin" apply -f - << 'YAML'
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: { name: deployer, namespace: shop }
roleRef: { apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: edit }
subjects:
  - { apiGroup: rbac.authorization.k8s.io, kind: User, name: "spiffe://team-a.example/ns/shop/id/deployer" }
---
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: { name: read-config, namespace: shop }
rules: [{ apiGroups: [""], resources: [configmaps], verbs: [get, list, watch] }]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: { name: reader, namespace: shop }
roleRef: { apiGroup: rbac.authorization.k8s.io, kind: Role, name: read-config }
subjects:
  - { apiGroup: rbac.authorization.k8s.io, kind: User, name: "spiffe://team-b.example/ns/audit/id/reader" }
YAML
wait_for 'RBAC to take effect' kubectl --kubeconfig deployer.kubeconfig -n shop get pods
refused kubectl --kubeconfig reader.kubeconfig -n shop get pods
refused kubectl --kubeconfig deployer.kubeconfig -n kube-system get secrets

title 'apply, get, logs -f, exec, cp, port-forward'
wait_for 'the default service account' kubectl --kubeconfig "$admin" -n shop get serviceaccount default
cat > shop.yaml << YAML
apiVersion: v1
kind: ConfigMap
metadata: { name: prices, namespace: shop }
data: { tea: "3" }
---
apiVersion: v1
kind: Pod
metadata: { name: till, namespace: shop }
spec:
  nodeName: $node
  containers:
    - name: till
      image: none # the demo's node runs the command as a local process
      command: [bash, -c, 'for i in 1 2 3 4 5; do echo "sale \$i"; sleep 0.3; done; exec sleep 3600']
YAML
deployer apply --server-side -f shop.yaml
wait_for 'the pod' sh -c "kubectl --kubeconfig deployer.kubeconfig -n shop get pod till | grep -q Running"
deployer -n shop get pods,configmaps
show 'timeout 3 kubectl -n shop logs -f till   # as deployer of team-a'
timeout 3 kubectl --kubeconfig deployer.kubeconfig -n shop logs -f till || test $? = 124
deployer -n shop exec till -- sh -c 'echo "inside, with exit code 7 to come"; exit 7' || echo "exit code: $?"
show 'echo over stdin | kubectl -n shop exec -i till -- tr a-z A-Z   # as deployer of team-a'
echo over stdin | kubectl --kubeconfig deployer.kubeconfig -n shop exec -i till -- tr a-z A-Z
head -c 1000000 /dev/urandom > parcel
pod_dir=$(kubectl --kubeconfig deployer.kubeconfig -n shop exec till -- sh -c 'echo $POD_DIR')
deployer -n shop cp parcel "till:$pod_dir/parcel"
deployer -n shop cp "till:$pod_dir/parcel" parcel.back
run cmp parcel parcel.back
python=$(command -v python3 || true)
if [[ -n $python ]]; then
  kubectl --kubeconfig deployer.kubeconfig -n shop exec till -- sh -c \
    'echo "hello from the pod" > index.html; exec python3 -u -m http.server --bind 127.0.0.1 0' > server.log 2>&1 &
  children+=($!)
  wait_for 'a web server in the pod' grep -q 'port [0-9]' server.log
  port=$(sed -nE 's/.*port ([0-9]+).*/\1/p' server.log | head -n 1)
  show "kubectl -n shop port-forward pod/till :$port   # as deployer of team-a"
  kubectl --kubeconfig deployer.kubeconfig -n shop port-forward pod/till ":$port" > forward.log 2>&1 &
  children+=($!)
  wait_for 'the port-forward' grep -q Forwarding forward.log
  head -n 1 forward.log
  local_port=$(sed -nE 's/.*127.0.0.1:([0-9]+) .*/\1/p' forward.log | head -n 1)
  run curl -s "http://127.0.0.1:$local_port/index.html"
fi

title 'Both watch the same config maps; then the trust in team-b is withdrawn: rm trust/team-b.yaml'
watch_as() { # caller
  (
    code=0
    kubectl --kubeconfig "$1.kubeconfig" -n shop get configmaps -w --output-watch-events -o name > "$1.watch" 2> "$1.watch.err" || code=$?
    echo "$(date +%s%N) $code" > "$1.watch.ended"
  ) &
  children+=($!)
}
watch_as deployer
watch_as reader
wait_for 'both watches' sh -c 'grep -q prices deployer.watch && grep -q prices reader.watch'
show 'kubectl -n shop get configmaps -w   # as deployer of team-a, and as reader of team-b'
cat reader.watch
removed=$(date +%s%N)
run rm trust/team-b.yaml
wait_for "the reader's watch to end" test -s reader.watch.ended
read -r ended _ < reader.watch.ended
printf "the reader's watch ended %d ms after its trust file was removed\n" $(((ended - removed) / 1000000))
if ((ended - removed > 1000000000)); then echo "that is later than one second" >&2; exit 1; fi
deployer -n shop create configmap news --from-literal=still=here
wait_for "the deployer's watch to go on" grep -q news deployer.watch
test ! -e deployer.watch.ended
echo "the deployer's watch goes on:"
tail -n 1 deployer.watch
show 'kubectl auth whoami   # as reader of team-b'
if kubectl --kubeconfig reader.kubeconfig auth whoami; then exit 1; fi

title 'What the API server saw (its own audit log), and what the relay saw (all of its log)'
audit=$(field cluster.json audit_log)
grep -F configmaps/prices "$audit" | head -n 1 | sed -E 's/.*"verb":"([^"]*)","user":\{"username":"([^"]*)".*"impersonatedUser":\{"username":"([^"]*)".*/\2 on behalf of \3: \1 configmaps\/prices/'
cut -c -160 relay.log | tail -n 5
if grep -qE 'configmaps|spiffe|deployer' relay.log; then echo "the relay knows too much" >&2; exit 1; fi

title 'Done: every step above did what it says'
if [[ -n ${KEEP-} ]]; then
  cat << TRY
Everything is still running. In another terminal, try:

  export PATH=$root/target/debug:$bin:\$PATH
  kubectl --kubeconfig $work/deployer.kubeconfig -n shop get pods
  kubectl --kubeconfig $work/deployer.kubeconfig -n shop exec -it till -- bash
  kubectl --kubeconfig $work/deployer.kubeconfig get pods --as=admin      # refused: identities are not for callers to choose
  gangplank status --admin $relay_admin
  gangplank pki inspect $work/deployer.crt --trust $work/trust
  curl -s http://$agent_admin/metrics

Ctrl-C ends all of it.
TRY
  sleep infinity
fi
