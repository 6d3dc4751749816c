package node

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"sync"
)

// output is what one run of a container wrote: kept in a log file, and passed
// on to the clients which are attached at the time.
type output struct {
	mu   sync.Mutex
	file *os.File
	size int64
	// changed is closed, and replaced, when the file has grown or is complete.
	changed  chan struct{}
	complete bool
	attached map[*attachment]struct{}
}

func newOutput(logFile string) (*output, error) {
	if err := os.MkdirAll(filepath.Dir(logFile), 0o700); err != nil {
		return nil, err
	}
	file, err := os.Create(logFile)
	if err != nil {
		return nil, err
	}
	return &output{file: file, changed: make(chan struct{}), attached: map[*attachment]struct{}{}}, nil
}

// chunk is a piece of output on its way to an attached client.
type chunk struct {
	bytes    []byte
	isStderr bool
}

// streamWriter is one of the two streams of an output.
type streamWriter struct {
	output   *output
	isStderr bool
}

func (o *output) stdout() io.Writer { return streamWriter{output: o} }
func (o *output) stderr() io.Writer { return streamWriter{output: o, isStderr: true} }

func (s streamWriter) Write(written []byte) (int, error) {
	receivers, err := s.output.keep(written)
	if err != nil || len(receivers) == 0 {
		return len(written), err
	}
	// The writer may use its buffer again while the client still reads.
	piece := chunk{bytes: bytes.Clone(written), isStderr: s.isStderr}
	// A slow client slows the container, as with a real runtime: bytes are
	// neither dropped nor heaped up.
	for _, receiver := range receivers {
		receiver.pass(piece)
	}
	return len(written), nil
}

func (o *output) keep(written []byte) ([]*attachment, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if _, err := o.file.Write(written); err != nil {
		return nil, err
	}
	o.size += int64(len(written))
	o.announce()
	receivers := make([]*attachment, 0, len(o.attached))
	for each := range o.attached {
		receivers = append(receivers, each)
	}
	return receivers, nil
}

// finish says that nothing will follow.
func (o *output) finish() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.complete = true
	o.announce()
	for each := range o.attached {
		close(each.complete)
	}
	clear(o.attached)
}

// announce wakes those who wait for more. The caller holds the lock.
func (o *output) announce() {
	close(o.changed)
	o.changed = make(chan struct{})
}

// extent says how much there is, whether that is all, and what to wait for
// otherwise.
func (o *output) extent() (size int64, complete bool, changed <-chan struct{}) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.size, o.complete, o.changed
}
