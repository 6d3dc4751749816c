// Package node is a small kubelet: it runs the containers of the pods bound to
// it as local processes and serves exec, attach, logs and port-forward with
// Kubernetes' own streaming code.
//
// It isolates nothing. Images are ignored; a container is a process of this
// machine which sees all of its files, and its "root" is merely its working
// directory, whose path it finds in POD_DIR.
package node

import (
	"context"
	"fmt"
	"net"
	"strconv"
	"time"

	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"gangplank.dev/testcluster/internal/process"
)

// Config is what the launcher decides.
type Config struct {
	Name string
	// Dir takes the folders and logs of the containers.
	Dir        string
	Kubeconfig string
	Port       int
	// TLS of the daemon's own endpoint.
	CertificateFile, KeyFile string
	// ClientCAFile and ClientName are of the one caller: the API server.
	ClientCAFile, ClientName string
}

// Run is the node's life. When ctx ends, so do all processes of its pods.
func Run(ctx context.Context, config Config) error {
	client, err := newClient(config.Kubeconfig)
	if err != nil {
		return err
	}
	// Of a predecessor which was killed, and could not end them itself.
	process.KillLeftovers(podDirVariable, config.Dir)

	// Bind before registering: the API server may call at once.
	listener, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(config.Port)))
	if err != nil {
		return err
	}
	pods := newRegistry(config, client, process.NewSpawner())
	server, err := newServer(config, pods)
	if err != nil {
		return err
	}
	served := make(chan error, 1)
	go func() { served <- server.ServeTLS(listener, "", "") }()

	if err := register(ctx, client, config); err != nil {
		return err
	}
	go stayAlive(ctx, client, config)
	go pods.watch(ctx)

	select {
	case <-ctx.Done():
		err = nil
	case err = <-served:
	}
	_ = server.Close()
	pods.killAll()
	process.KillLeftovers(podDirVariable, config.Dir)
	return err
}

func newClient(kubeconfig string) (kubernetes.Interface, error) {
	config, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	if err != nil {
		return nil, fmt.Errorf("read kubeconfig: %w", err)
	}
	// The default of five requests a second makes thirty pods wait for their
	// status.
	config.QPS, config.Burst = 200, 400
	rest.AddUserAgent(config, "testcluster-node")
	return kubernetes.NewForConfig(config)
}

// pause waits, unless ctx ends first.
func pause(ctx context.Context, wait time.Duration) bool {
	select {
	case <-ctx.Done():
		return false
	case <-time.After(wait):
		return true
	}
}
