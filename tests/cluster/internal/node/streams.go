package node

import (
	"io"
	"os"
	"time"

	"github.com/creack/pty"
	"k8s.io/cri-streaming/pkg/streaming/remotecommand"
)

// firstSizeLimit is how long a command on a terminal waits for the size of the
// client's window. Most clients send it at once; some never do.
const firstSizeLimit = 250 * time.Millisecond

// streams are the client's ends of an exec or attach. Output which the client
// did not ask for goes nowhere; input it did not ask for is nil.
type streams struct {
	stdin          io.Reader
	stdout, stderr io.Writer
	tty            bool
	resize         <-chan remotecommand.TerminalSize
}

// newStreams keeps what the request asked for: over WebSocket the streaming code
// hands out every stream, and one that was not asked for never ends.
func newStreams(
	asked *remotecommand.Options, in io.Reader, out, err io.Writer, resize <-chan remotecommand.TerminalSize,
) streams {
	s := streams{stdout: io.Discard, stderr: io.Discard, tty: asked.TTY, resize: resize}
	if asked.Stdin {
		s.stdin = in
	}
	if asked.Stdout {
		s.stdout = out
	}
	if asked.Stderr {
		s.stderr = err
	}
	return s
}

// setFirstSize gives the client's window size to a terminal before a command
// sees it. A kubelet does not wait, and what a program finds is left to luck: a
// test would fail now and then.
func (s streams) setFirstSize(terminal *os.File) {
	select {
	case size, open := <-s.resize:
		if open {
			setSize(terminal, size)
		}
	case <-time.After(firstSizeLimit):
	}
}

// followSize gives the client's window size to a terminal until the client is
// gone.
func (s streams) followSize(terminal *os.File) {
	for size := range s.resize {
		setSize(terminal, size)
	}
}

func setSize(terminal *os.File, size remotecommand.TerminalSize) {
	_ = pty.Setsize(terminal, &pty.Winsize{Rows: size.Height, Cols: size.Width})
}
