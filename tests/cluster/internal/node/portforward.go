package node

import (
	"context"
	"io"
	"net"
	"strconv"
	"time"
)

// dialLimit is generous for a loopback address.
const dialLimit = 5 * time.Second

// portForwarder connects streams to ports of this machine: a pod has no network
// of its own. They end with the pod all the same.
type portForwarder struct{ pod *pod }

// PortForward is called once for each connection of the client's.
func (f portForwarder) PortForward(
	ctx context.Context, _ string, _ string, port int32, stream io.ReadWriteCloser,
) error {
	dialer := net.Dialer{Timeout: dialLimit}
	connection, err := dialer.DialContext(ctx, "tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(int(port))))
	if err != nil {
		return err
	}
	defer connection.Close()
	defer context.AfterFunc(f.pod.open, func() { connection.Close() })()
	go func() {
		_, _ = io.Copy(connection, stream)
		// The client has sent everything and may still wait for the answer.
		_ = connection.(*net.TCPConn).CloseWrite()
	}()
	// The server's end is the end: what the client would still send has nobody
	// to read it.
	_, err = io.Copy(stream, connection)
	return err
}
