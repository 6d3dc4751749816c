package process

import (
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

func spec(t *testing.T, script string) Spec {
	folder := t.TempDir()
	return Spec{
		Name: "child", Path: "/bin/sh", Args: []string{"-c", script},
		DeathSignal: syscall.SIGKILL,
		LogFile:     filepath.Join(folder, "log"), PIDFile: filepath.Join(folder, "pid"),
	}
}

func startChild(t *testing.T, script string) (*Child, chan error) {
	failed := make(chan error, 1)
	child, err := StartChild(NewSpawner(), spec(t, script), failed)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(child.Stop)
	return child, failed
}

func waitFor(t *testing.T, what string, is func() bool) {
	for end := time.Now().Add(10 * time.Second); !is(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("waited in vain for", what)
		}
	}
}

func TestKilledChildIsStartedAgain(t *testing.T) {
	child, failed := startChild(t, "exec sleep 1000")
	child.Settle()
	first := child.PID()
	if err := syscall.Kill(first, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	waitFor(t, "another process", func() bool { return child.PID() != first })
	content, err := os.ReadFile(child.PIDFile())
	if err != nil {
		t.Fatal(err)
	}
	if got := strings.TrimSpace(string(content)); got == strconv.Itoa(first) {
		t.Error("the file still holds the first process id")
	}
	if len(failed) != 0 {
		t.Error(<-failed)
	}
}

func TestEarlyEndIsAFailure(t *testing.T) {
	_, failed := startChild(t, "exit 3")
	var ended *EndedError
	if err := <-failed; !errors.As(err, &ended) || ended.State != "exit status 3" {
		t.Errorf("got %v", err)
	}
}

func TestStopKillsWhoDoesNotListen(t *testing.T) {
	child, failed := startChild(t, "trap '' TERM; echo deaf; while :; do sleep 0.1; done")
	// Before it said so, it would listen.
	waitFor(t, "the trap", func() bool {
		log, err := os.ReadFile(child.spec.LogFile)
		return err == nil && len(log) > 0
	})
	begin := time.Now()
	child.Stop()
	if took := time.Since(begin); took < killAfter {
		t.Errorf("it was given %s only", took)
	}
	if err := syscall.Kill(child.PID(), 0); !errors.Is(err, syscall.ESRCH) {
		t.Errorf("it is still there: %v", err)
	}
	if len(failed) != 0 {
		t.Error("its end was wanted and is reported as a failure:", <-failed)
	}
}
