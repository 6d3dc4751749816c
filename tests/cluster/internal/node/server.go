package node

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"time"

	"k8s.io/cri-streaming/pkg/streaming/portforward"
	"k8s.io/cri-streaming/pkg/streaming/remotecommand"
)

const (
	// idleLimit is the kubelet's own.
	idleLimit = 4 * time.Hour
	// creationLimit is how long a client may take to open its streams.
	creationLimit = 30 * time.Second
)

// server is the node's endpoint, which the API server calls.
type server struct{ pods *registry }

func newServer(config Config, pods *registry) (*http.Server, error) {
	tlsConfig, err := newTLSConfig(config)
	if err != nil {
		return nil, err
	}
	s := server{pods: pods}
	mux := http.NewServeMux()
	mux.HandleFunc("/exec/{namespace}/{pod}/{container}", s.exec)
	mux.HandleFunc("/attach/{namespace}/{pod}/{container}", s.attach)
	mux.HandleFunc("/portForward/{namespace}/{pod}", s.portForward)
	mux.HandleFunc("GET /containerLogs/{namespace}/{pod}/{container}", s.logs)
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "ok") })
	// The upgrades to WebSocket and SPDY exist in HTTP/1.1 only.
	var protocols http.Protocols
	protocols.SetHTTP1(true)
	return &http.Server{Handler: mux, TLSConfig: tlsConfig, Protocols: &protocols}, nil
}

// newTLSConfig admits one caller. Whoever may exec here may do anything on this
// machine as the user who runs the tests.
func newTLSConfig(config Config) (*tls.Config, error) {
	pair, err := tls.LoadX509KeyPair(config.CertificateFile, config.KeyFile)
	if err != nil {
		return nil, err
	}
	authority, err := os.ReadFile(config.ClientCAFile)
	if err != nil {
		return nil, err
	}
	clients := x509.NewCertPool()
	if !clients.AppendCertsFromPEM(authority) {
		return nil, fmt.Errorf("no certificate in %s", config.ClientCAFile)
	}
	return &tls.Config{
		Certificates: []tls.Certificate{pair},
		ClientCAs:    clients,
		ClientAuth:   tls.RequireAndVerifyClientCert,
		VerifyConnection: func(state tls.ConnectionState) error {
			if name := state.PeerCertificates[0].Subject.CommonName; name != config.ClientName {
				return errors.New("not the API server: " + name)
			}
			return nil
		},
	}, nil
}

func (s server) exec(w http.ResponseWriter, r *http.Request) {
	target, options := s.stream(w, r)
	if target == nil {
		return
	}
	run := func(client streams) error { return target.execute(r.URL.Query()["command"], client) }
	remotecommand.ServeExec(w, r, streamFunc{options, run}, "", "", "", nil, options,
		idleLimit, creationLimit, remotecommand.SupportedStreamingProtocols)
}

func (s server) attach(w http.ResponseWriter, r *http.Request) {
	target, options := s.stream(w, r)
	if target == nil {
		return
	}
	remotecommand.ServeAttach(w, r, streamFunc{options, target.attach}, "", "", "", options,
		idleLimit, creationLimit, remotecommand.SupportedStreamingProtocols)
}

func (s server) portForward(w http.ResponseWriter, r *http.Request) {
	target := s.pods.pod(r.PathValue("namespace"), r.PathValue("pod"))
	if target == nil || target.isDoomed() {
		http.Error(w, "no such pod runs on this node", http.StatusNotFound)
		return
	}
	options, err := portforward.NewV4Options(r)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	portforward.ServePortForward(w, r, portForwarder{target}, r.PathValue("pod"), "", options,
		idleLimit, creationLimit, portforward.SupportedProtocols)
}

func (s server) logs(w http.ResponseWriter, r *http.Request) {
	target := s.container(w, r)
	if target == nil {
		return
	}
	options, unserved := parseLogOptions(r.URL.Query())
	if unserved != "" {
		http.Error(w, "this node does not serve logs with "+unserved, http.StatusBadRequest)
		return
	}
	shown := target.shown()
	if shown == nil {
		http.Error(w, "the container has not started", http.StatusBadRequest)
		return
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	// The status is sent: a failure can only end the answer.
	_ = shown.output.copyTo(r.Context(), w, options)
}

// stream finds what an exec or attach is for, or answers why not.
func (s server) stream(w http.ResponseWriter, r *http.Request) (*container, *remotecommand.Options) {
	target := s.container(w, r)
	if target == nil {
		return nil, nil
	}
	options, err := remotecommand.NewOptions(r)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return nil, nil
	}
	return target, options
}

func (s server) container(w http.ResponseWriter, r *http.Request) *container {
	target := s.pods.container(r.PathValue("namespace"), r.PathValue("pod"), r.PathValue("container"))
	if target == nil {
		http.Error(w, "container not found on this node", http.StatusNotFound)
	}
	return target
}

// streamFunc fits a function to both interfaces of the streaming code.
type streamFunc struct {
	options *remotecommand.Options
	run     func(streams) error
}

// ExecInContainer is called when the client has opened its streams.
func (f streamFunc) ExecInContainer(
	_ context.Context, _, _, _ string, _ []string, in io.Reader, out, err io.WriteCloser,
	_ bool, resize <-chan remotecommand.TerminalSize, _ time.Duration,
) error {
	return f.run(newStreams(f.options, in, out, err, resize))
}

// AttachContainer is called when the client has opened its streams.
func (f streamFunc) AttachContainer(
	_ context.Context, _, _, _ string, in io.Reader, out, err io.WriteCloser,
	_ bool, resize <-chan remotecommand.TerminalSize,
) error {
	return f.run(newStreams(f.options, in, out, err, resize))
}
