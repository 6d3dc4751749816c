package cluster

import (
	"os"

	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/client-go/tools/clientcmd/api"
)

// writeCertificateKubeconfig writes a kubeconfig whose user holds the
// certificate of that name. Everything is embedded, so that the file can be
// copied and given to any client.
func writeCertificateKubeconfig(l layout, server, name string) error {
	certificate, err := os.ReadFile(l.certificate(name))
	if err != nil {
		return err
	}
	key, err := os.ReadFile(l.key(name))
	if err != nil {
		return err
	}
	return writeKubeconfig(l, server, name, name, &api.AuthInfo{
		ClientCertificateData: certificate, ClientKeyData: key,
	})
}

// writeTokenKubeconfig writes a kubeconfig which *points to* a token: the file
// is replaced while clients run, as a kubelet does it for a pod.
func writeTokenKubeconfig(l layout, server, file, user string) error {
	return writeKubeconfig(l, server, file, user, &api.AuthInfo{TokenFile: l.proxyToken()})
}

func writeKubeconfig(l layout, server, file, user string, credentials *api.AuthInfo) error {
	authority, err := os.ReadFile(l.certificate(clusterCA))
	if err != nil {
		return err
	}
	const name = "testcluster"
	return clientcmd.WriteToFile(api.Config{
		Clusters:       map[string]*api.Cluster{name: {Server: server, CertificateAuthorityData: authority}},
		AuthInfos:      map[string]*api.AuthInfo{user: credentials},
		Contexts:       map[string]*api.Context{name: {Cluster: name, AuthInfo: user}},
		CurrentContext: name,
	}, l.kubeconfig(file))
}
