package cluster

import "testing"

func TestPortsDifferAndAreNotEphemeral(t *testing.T) {
	first := firstEphemeralPort()
	if first-lowestPort < 1000 {
		t.Skip("this machine's ephemeral ports begin at", first)
	}
	p, err := choosePorts()
	if err != nil {
		t.Fatal(err)
	}
	seen := map[int]bool{}
	for _, port := range []int{p.etcd, p.etcdPeer, p.api, p.node} {
		if port < lowestPort || port >= first || seen[port] {
			t.Errorf("port %d of %+v", port, p)
		}
		seen[port] = true
	}
}
