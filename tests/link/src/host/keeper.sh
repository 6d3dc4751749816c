# The keeper of a test's host. It runs in the host's network namespace, says "up", and waits for its standard input to end.
set -eu

# Nothing but what a test sends is to be on the links: IPv6 would announce itself.
echo 1 > /proc/sys/net/ipv6/conf/all/disable_ipv6 || true
echo 1 > /proc/sys/net/ipv6/conf/default/disable_ipv6 || true
# A host that moves keeps its new address when the old one goes.
echo 1 > /proc/sys/net/ipv4/conf/all/promote_secondaries
ip link set lo up
echo up

cat > /dev/null

# Whoever is left in this namespace, and only they; more than one look, since one of them may be starting another.
looks=0
while [ "$looks" -lt 10 ]; do
  found=
  for process in /proc/[0-9]*; do
    if [ "${process#/proc/}" != $$ ] && [ "$process/ns/net" -ef "/proc/$$/ns/net" ]; then
      kill -KILL "${process#/proc/}" 2> /dev/null || true
      found=yes
    fi
  done
  [ -n "$found" ] || break
  looks=$((looks + 1))
done
