package node

import (
	"errors"
	"io"
)

// attach joins a client to the running container, until one of them ends.
func (c *container) attach(client streams) error {
	active := c.active()
	if active == nil {
		return errors.New("the container is not running")
	}
	attachment := active.output.attach()
	if active.terminal != nil {
		go client.followSize(active.terminal)
	}
	if client.stdin != nil && active.stdin != nil {
		go c.feed(active, client.stdin)
	}
	return attachment.copyTo(client.stdout, client.stderr)
}

// feed passes a client's input to the container's.
func (c *container) feed(to *run, from io.Reader) {
	_, _ = io.Copy(to.stdin, from)
	// Otherwise the input stays open for the next client.
	if c.spec.StdinOnce {
		_ = to.stdin.Close()
	}
}
