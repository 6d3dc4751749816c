package cluster

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"time"

	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"

	"gangplank.dev/testcluster/internal/process"
)

// maxAttempts bounds the choice of other ports. One collision is rare; five in
// a row mean that something else is wrong.
const maxAttempts = 5

// exitTokenFile is the kubeconfig by token, beside exitUser's by certificate.
const exitTokenFile = exitUser + "-token"

// Config is what the caller decides.
type Config struct {
	// Name tells clusters apart in reports and node names.
	Name string
	// Bin holds the programs of Kubernetes and etcd.
	Bin string
	// Dir takes all files of the cluster.
	Dir string
	// Progress is called with one line for each step.
	Progress func(string)
}

func (c Config) nodeName() string { return c.Name + "-node" }

// Cluster is a running cluster.
type Cluster struct {
	config   Config
	layout   layout
	spawner  *process.Spawner
	client   kubernetes.Interface
	server   string
	children []*process.Child
	failed   chan error
}

// Up brings a cluster up and returns it ready.
func Up(ctx context.Context, config Config) (*Cluster, error) {
	l, err := newLayout(config.Dir)
	if err != nil {
		return nil, err
	}
	if config.Bin, err = filepath.Abs(config.Bin); err != nil {
		return nil, err
	}
	if err := writePKI(l, config.nodeName()); err != nil {
		return nil, fmt.Errorf("make keys: %w", err)
	}
	spawner := process.NewSpawner()
	for attempt := 1; ; attempt++ {
		cluster := &Cluster{config: config, layout: l, spawner: spawner, failed: make(chan error, 8)}
		err := cluster.start(ctx)
		if err == nil {
			return cluster, nil
		}
		cluster.Down()
		var ended *process.EndedError
		if attempt == maxAttempts || !errors.As(err, &ended) || !saysPortTaken(ended.LogFile) {
			return nil, err
		}
		config.Progress("a port was taken meanwhile, trying others")
		if err := cluster.forget(); err != nil {
			return nil, err
		}
	}
}

// Report describes the cluster.
func (c *Cluster) Report() Report { return newReport(c.config, c.layout, c.server, c.children) }

// Run keeps the cluster up until ctx ends, or fails.
func (c *Cluster) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go renewExitToken(ctx, c.client, c.layout.proxyToken())
	select {
	case <-ctx.Done():
		return nil
	case err := <-c.failed:
		return err
	}
}

// Down ends everything. Files stay, for whoever wants to know what happened.
func (c *Cluster) Down() {
	if len(c.children) == 0 {
		return
	}
	var clients sync.WaitGroup
	for _, child := range c.children[1:] {
		clients.Go(child.Stop)
	}
	clients.Wait()
	// etcd is the first to come and the last to go: an API server which has lost
	// it keeps trying and does not end when asked.
	c.children[0].Stop()
	// The node has done this, unless it was killed.
	process.KillLeftovers("POD_DIR", c.layout.node())
}

func (c *Cluster) start(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, startLimit)
	defer cancel()
	p, err := choosePorts()
	if err != nil {
		return err
	}
	c.server = httpsURL(p.api)
	for _, name := range []string{admin, exitUser, controllerManager, nodeClient} {
		if err := writeCertificateKubeconfig(c.layout, c.server, name); err != nil {
			return err
		}
	}
	if err := writeTokenKubeconfig(c.layout, c.server, exitTokenFile, exitUser); err != nil {
		return err
	}
	if c.client, err = newClient(c.layout.kubeconfig(admin)); err != nil {
		return err
	}
	if err := c.startControlPlane(ctx, p); err != nil {
		return err
	}
	if err := c.startNode(ctx, p); err != nil {
		return err
	}
	for _, child := range c.children {
		child.Settle()
	}
	c.config.Progress("ready at " + c.server)
	return nil
}

func (c *Cluster) startControlPlane(ctx context.Context, p ports) error {
	if err := c.launch(etcdSpec(c.layout, c.config.Bin, p)); err != nil {
		return err
	}
	if err := await(ctx, "etcd to listen", c.failed, listens(p.etcd)); err != nil {
		return err
	}
	spec, err := apiServerSpec(c.layout, c.config.Bin, p)
	if err != nil {
		return err
	}
	if err := c.launch(spec); err != nil {
		return err
	}
	return await(ctx, "kube-apiserver to be ready", c.failed, apiServerReady(c.client))
}

func (c *Cluster) startNode(ctx context.Context, p ports) error {
	if err := c.launch(controllerManagerSpec(c.layout, c.config.Bin)); err != nil {
		return err
	}
	spec, err := nodeSpec(c.layout, c.config.nodeName(), p)
	if err != nil {
		return err
	}
	if err := c.launch(spec); err != nil {
		return err
	}
	if err := grantExitAccess(ctx, c.client); err != nil {
		return err
	}
	if err := writeExitToken(ctx, c.client, c.layout.proxyToken()); err != nil {
		return err
	}
	if err := await(ctx, "the node to be ready", c.failed, nodeReady(c.client, c.config.nodeName())); err != nil {
		return err
	}
	return await(ctx, "the default service account", c.failed, defaultAccountExists(c.client))
}

func (c *Cluster) launch(spec process.Spec) error {
	c.config.Progress("starting " + spec.Name)
	child, err := process.StartChild(c.spawner, spec, c.failed)
	if err != nil {
		return err
	}
	c.children = append(c.children, child)
	return nil
}

// forget removes what an attempt wrote: its data belongs to other ports, and its
// logs would be taken for those of the next.
func (c *Cluster) forget() error {
	if err := os.RemoveAll(c.layout.etcd()); err != nil {
		return err
	}
	for _, child := range c.children {
		if err := os.RemoveAll(c.layout.log(child.Name())); err != nil {
			return err
		}
	}
	return nil
}

func newClient(kubeconfig string) (kubernetes.Interface, error) {
	config, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	if err != nil {
		return nil, err
	}
	return kubernetes.NewForConfig(config)
}

func listens(port int) func(context.Context) error {
	return func(ctx context.Context) error {
		dialer := net.Dialer{Timeout: time.Second}
		connection, err := dialer.DialContext(ctx, "tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
		if err != nil {
			return err
		}
		return connection.Close()
	}
}
