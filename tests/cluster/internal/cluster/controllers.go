package cluster

import (
	"path/filepath"
	"strings"

	"gangplank.dev/testcluster/internal/process"
)

// controllers are those without which the API does not behave as a user knows
// it: namespaces end, service accounts appear, owned objects go with their
// owner, roles aggregate, quotas count. The others move pods about, which one
// node without a scheduler has no use for.
var controllers = []string{
	"namespace-controller",
	"serviceaccount-controller",
	"serviceaccount-token-controller",
	"root-ca-certificate-publisher-controller",
	"garbage-collector-controller",
	"clusterrole-aggregation-controller",
	"resourcequota-controller",
}

func controllerManagerSpec(l layout, bin string) process.Spec {
	return newSpec(l, controllerManager, filepath.Join(bin, controllerManager), []string{
		"--kubeconfig=" + l.kubeconfig(controllerManager),
		"--controllers=" + strings.Join(controllers, ","),
		"--use-service-account-credentials=true",
		"--service-account-private-key-file=" + l.key(serviceAccounts),
		"--root-ca-file=" + l.certificate(clusterCA),
		// One instance: nothing to elect, and a restart need not wait for the
		// lease of its killed predecessor.
		"--leader-elect=false",
		// Nobody asks for its metrics; a port less that can be taken.
		"--secure-port=0",
	})
}
