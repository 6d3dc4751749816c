package node

import (
	"fmt"
	"io"
	"path/filepath"
	"strings"
	"testing"
)

// An attached client sees what is written from then on, each stream apart, and
// the end.
func TestAttachmentSeesBothStreamsAndTheEnd(t *testing.T) {
	log, err := newOutput(filepath.Join(t.TempDir(), "log"))
	if err != nil {
		t.Fatal(err)
	}
	fmt.Fprint(log.stdout(), "before ")
	attached := log.attach()
	go func() {
		fmt.Fprint(log.stdout(), "out")
		fmt.Fprint(log.stderr(), "err")
		log.finish()
	}()
	var stdout, stderr strings.Builder
	if err := attached.copyTo(&stdout, &stderr); err != nil {
		t.Fatal(err)
	}
	if stdout.String() != "out" || stderr.String() != "err" {
		t.Errorf("got %q and %q", stdout.String(), stderr.String())
	}
	if size, complete, _ := log.extent(); size != int64(len("before outerr")) || !complete {
		t.Errorf("the log has %d bytes, complete: %t", size, complete)
	}
}

// A client which is gone must not hold the container up.
func TestContainerOutlivesItsClient(t *testing.T) {
	log, err := newOutput(filepath.Join(t.TempDir(), "log"))
	if err != nil {
		t.Fatal(err)
	}
	attached := log.attach()
	reader, writer := io.Pipe()
	reader.Close()
	left := make(chan error, 1)
	go func() { left <- attached.copyTo(writer, writer) }()
	for range 3 {
		fmt.Fprint(log.stdout(), "lost")
	}
	if err := <-left; err == nil {
		t.Error("the broken client was not noticed")
	}
}
