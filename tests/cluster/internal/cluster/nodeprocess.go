package cluster

import (
	"os"
	"strconv"
	"syscall"

	"gangplank.dev/testcluster/internal/process"
)

// nodeSpec runs this same program as the node.
func nodeSpec(l layout, nodeName string, p ports) (process.Spec, error) {
	self, err := os.Executable()
	if err != nil {
		return process.Spec{}, err
	}
	spec := newSpec(l, "node", self, []string{
		"node",
		"--name=" + nodeName,
		"--dir=" + l.node(),
		"--kubeconfig=" + l.kubeconfig(nodeClient),
		"--port=" + strconv.Itoa(p.node),
		"--tls-cert-file=" + l.certificate(nodeServer),
		"--tls-key-file=" + l.key(nodeServer),
		"--client-ca-file=" + l.certificate(clusterCA),
		"--client-name=" + apiServerToNode,
	})
	// The node is asked and not killed: it takes the processes of its pods
	// along, which the kernel would leave behind.
	spec.DeathSignal = syscall.SIGTERM
	return spec, nil
}
