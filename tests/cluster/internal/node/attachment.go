package node

import "io"

// attachment is one client's view of a container's output, from now on.
type attachment struct {
	output *output
	// chunks has no room: the container waits for the client.
	chunks chan chunk
	// gone is closed by the client's side, complete by the container's.
	gone     chan struct{}
	complete chan struct{}
}

// attach begins an attachment. To an output which is complete, it is over at
// once.
func (o *output) attach() *attachment {
	a := &attachment{
		output: o, chunks: make(chan chunk), gone: make(chan struct{}), complete: make(chan struct{}),
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.complete {
		close(a.complete)
	} else {
		o.attached[a] = struct{}{}
	}
	return a
}

func (o *output) detach(a *attachment) {
	o.mu.Lock()
	defer o.mu.Unlock()
	delete(o.attached, a)
}

func (a *attachment) pass(piece chunk) {
	select {
	case a.chunks <- piece:
	case <-a.gone:
	}
}

// copyTo writes the output until the container or the client ends.
func (a *attachment) copyTo(stdout, stderr io.Writer) error {
	defer close(a.gone)
	defer a.output.detach(a)
	for {
		select {
		case piece := <-a.chunks:
			to := stdout
			if piece.isStderr {
				to = stderr
			}
			if _, err := to.Write(piece.bytes); err != nil {
				return err
			}
		case <-a.complete:
			return nil
		}
	}
}
