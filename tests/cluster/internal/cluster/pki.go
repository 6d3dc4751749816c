package cluster

import (
	"net"
	"os"

	"gangplank.dev/testcluster/internal/keys"
)

// Names of certificates, which are their file names too.
const (
	clusterCA         = "ca"
	frontProxyCA      = "front-proxy-ca"
	frontProxyClient  = "front-proxy-client"
	serviceAccounts   = "service-accounts"
	apiServer         = "kube-apiserver"
	apiServerToNode   = "kube-apiserver-kubelet-client"
	controllerManager = "kube-controller-manager"
	nodeServer        = "node-server"
	nodeClient        = "node"
	admin             = "admin"
	exitUser          = "gangplank-exit"
)

// writePKI makes every key the cluster needs.
func writePKI(l layout, nodeName string) error {
	cluster, err := writeAuthority(l, clusterCA)
	if err != nil {
		return err
	}
	frontProxy, err := writeAuthority(l, frontProxyCA)
	if err != nil {
		return err
	}
	if err := keys.WriteSigningKey(l.publicKey(serviceAccounts), l.key(serviceAccounts)); err != nil {
		return err
	}
	if err := issue(l, frontProxy, frontProxyClient, keys.Subject{CommonName: frontProxyClient}); err != nil {
		return err
	}
	for name, subject := range clusterSubjects(nodeName) {
		if err := issue(l, cluster, name, subject); err != nil {
			return err
		}
	}
	return nil
}

func clusterSubjects(nodeName string) map[string]keys.Subject {
	loopback := net.IPv4(127, 0, 0, 1)
	return map[string]keys.Subject{
		apiServer: {
			CommonName: apiServer,
			DNSNames: []string{
				"localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc",
				"kubernetes.default.svc.cluster.local",
			},
			IPs: []net.IP{loopback, net.IPv4(10, 0, 0, 1)},
		},
		nodeServer: {CommonName: "system:node:" + nodeName, IPs: []net.IP{loopback}},
		// The groups and names are those which the API server's own bootstrap
		// roles are bound to.
		apiServerToNode:   {CommonName: apiServerToNode},
		controllerManager: {CommonName: "system:kube-controller-manager"},
		nodeClient:        {CommonName: "system:node:" + nodeName, Organizations: []string{"system:nodes"}},
		admin:             {CommonName: "admin", Organizations: []string{"system:masters"}},
		// No group: all the exit may do is what its one role says.
		exitUser: {CommonName: exitUser},
	}
}

func writeAuthority(l layout, name string) (*keys.Authority, error) {
	authority, err := keys.NewAuthority("testcluster-" + name)
	if err != nil {
		return nil, err
	}
	return authority, os.WriteFile(l.certificate(name), authority.PEM(), 0o600)
}

func issue(l layout, authority *keys.Authority, name string, subject keys.Subject) error {
	pair, err := authority.Issue(subject)
	if err != nil {
		return err
	}
	return pair.Write(l.certificate(name), l.key(name))
}
