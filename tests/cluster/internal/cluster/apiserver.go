package cluster

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"

	"gangplank.dev/testcluster/internal/process"
)

// auditPolicy records who did what, and as whom, for every request. The stage
// before a request is looked at says nothing more and doubles the file.
const auditPolicy = `apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
- level: Metadata
`

// auditLogMegabytes keeps the log in one file: tests read it from an offset, and
// a rotation in between would lose events.
const auditLogMegabytes = 4096

func apiServerSpec(l layout, bin string, p ports) (process.Spec, error) {
	if err := os.WriteFile(l.auditPolicy(), []byte(auditPolicy), 0o600); err != nil {
		return process.Spec{}, err
	}
	flags := []string{
		"--etcd-servers=" + httpURL(p.etcd),
		"--bind-address=127.0.0.1",
		"--secure-port=" + strconv.Itoa(p.api),
		"--advertise-address=127.0.0.1",
		// 127.0.0.1 may not be an endpoint; nothing looks for one.
		"--endpoint-reconciler-type=none",
		"--service-cluster-ip-range=10.0.0.0/24",
		"--profiling=false",
	}
	flags = append(flags, authenticationFlags(l)...)
	flags = append(flags, authorizationFlags()...)
	flags = append(flags, kubeletClientFlags(l)...)
	flags = append(flags, auditFlags(l)...)
	return newSpec(l, apiServer, filepath.Join(bin, apiServer), flags), nil
}

func authenticationFlags(l layout) []string {
	return []string{
		"--tls-cert-file=" + l.certificate(apiServer),
		"--tls-private-key-file=" + l.key(apiServer),
		"--client-ca-file=" + l.certificate(clusterCA),
		"--anonymous-auth=false",
		"--service-account-issuer=https://kubernetes.default.svc.cluster.local",
		"--service-account-key-file=" + l.publicKey(serviceAccounts),
		"--service-account-signing-key-file=" + l.key(serviceAccounts),
		"--requestheader-client-ca-file=" + l.certificate(frontProxyCA),
		"--requestheader-allowed-names=" + frontProxyClient,
		"--requestheader-username-headers=X-Remote-User",
		"--requestheader-group-headers=X-Remote-Group",
		"--requestheader-extra-headers-prefix=X-Remote-Extra-",
		"--proxy-client-cert-file=" + l.certificate(frontProxyClient),
		"--proxy-client-key-file=" + l.key(frontProxyClient),
	}
}

func authorizationFlags() []string {
	return []string{
		"--authorization-mode=Node,RBAC",
		"--enable-admission-plugins=NodeRestriction",
		// It taints a new node until the node-lifecycle controller, which does
		// not run here, says that it is ready.
		"--disable-admission-plugins=TaintNodesByCondition",
	}
}

func kubeletClientFlags(l layout) []string {
	return []string{
		"--kubelet-preferred-address-types=InternalIP",
		"--kubelet-certificate-authority=" + l.certificate(clusterCA),
		"--kubelet-client-certificate=" + l.certificate(apiServerToNode),
		"--kubelet-client-key=" + l.key(apiServerToNode),
	}
}

func auditFlags(l layout) []string {
	return []string{
		"--audit-policy-file=" + l.auditPolicy(),
		"--audit-log-path=" + l.auditLog(),
		"--audit-log-format=json",
		// Blocking: the event is in the file when the request is done, and a
		// test need not wait for a batch.
		"--audit-log-mode=blocking",
		"--audit-log-maxsize=" + strconv.Itoa(auditLogMegabytes),
	}
}

func httpURL(port int) string  { return fmt.Sprintf("http://127.0.0.1:%d", port) }
func httpsURL(port int) string { return fmt.Sprintf("https://127.0.0.1:%d", port) }
