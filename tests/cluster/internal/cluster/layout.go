// Package cluster brings up a Kubernetes cluster made of local processes: etcd,
// kube-apiserver, kube-controller-manager and one node.
package cluster

import (
	"fmt"
	"os"
	"path/filepath"
)

// layout names the files of one cluster.
type layout struct{ root string }

// newLayout makes the folders. A folder which holds a cluster is refused:
// its data was written under other keys and would not be readable.
func newLayout(root string) (layout, error) {
	root, err := filepath.Abs(root)
	if err != nil {
		return layout{}, err
	}
	l := layout{root: root}
	if _, err := os.Stat(l.pki()); err == nil {
		return layout{}, fmt.Errorf("%s holds an earlier cluster: give an empty folder", root)
	}
	for _, folder := range []string{l.pki(), l.logs(), l.run(), l.node()} {
		if err := os.MkdirAll(folder, 0o700); err != nil {
			return layout{}, err
		}
	}
	return l, nil
}

func (l layout) pki() string  { return filepath.Join(l.root, "pki") }
func (l layout) logs() string { return filepath.Join(l.root, "logs") }
func (l layout) run() string  { return filepath.Join(l.root, "run") }
func (l layout) etcd() string { return filepath.Join(l.root, "etcd") }

// node is where the node keeps the folders of its containers.
func (l layout) node() string { return filepath.Join(l.root, "node") }

func (l layout) certificate(name string) string { return filepath.Join(l.pki(), name+".crt") }
func (l layout) key(name string) string         { return filepath.Join(l.pki(), name+".key") }
func (l layout) publicKey(name string) string   { return filepath.Join(l.pki(), name+".pub") }
func (l layout) kubeconfig(name string) string  { return filepath.Join(l.root, name+".kubeconfig") }
func (l layout) log(name string) string         { return filepath.Join(l.logs(), name+".log") }
func (l layout) pidFile(name string) string     { return filepath.Join(l.run(), name+".pid") }

func (l layout) proxyToken() string  { return filepath.Join(l.root, "gangplank-exit.token") }
func (l layout) auditLog() string    { return filepath.Join(l.logs(), "audit.log") }
func (l layout) auditPolicy() string { return filepath.Join(l.root, "audit-policy.yaml") }
