package process

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
	"time"
)

const (
	// restartDelay is long enough for a test to see that the program is gone
	// and short enough for it not to wait.
	restartDelay = 200 * time.Millisecond
	// maxRestarts is more than any test kills, and ends a program which cannot
	// start within seconds and not never.
	maxRestarts = 20
	// killAfter is how long a program may take to end by itself. A kube-apiserver
	// would wait a minute for open watches.
	killAfter = 2 * time.Second
)

// Spec says how a child is started, the first time and every further time.
type Spec struct {
	Name string
	Path string
	Args []string
	// DeathSignal is sent by the kernel when the launcher dies.
	DeathSignal syscall.Signal
	LogFile     string
	PIDFile     string
}

// Child is one supervised program. Until Settle is called, its end is a
// failure; afterwards it is started again.
type Child struct {
	spec    Spec
	spawner *Spawner
	failed  chan<- error
	ended   chan struct{}
	stop    chan struct{}

	mu       sync.Mutex
	cmd      *exec.Cmd
	settled  bool
	stopping bool
}

// EndedError says that a child ended when it should not have.
type EndedError struct {
	Name    string
	State   string
	LogFile string
	// Restarts counts how often it had been started again before.
	Restarts int
}

func (e *EndedError) Error() string {
	if e.Restarts == 0 {
		return fmt.Sprintf("%s ended (%s), see %s", e.Name, e.State, e.LogFile)
	}
	return fmt.Sprintf("%s ended (%s) after %d restarts, see %s", e.Name, e.State, e.Restarts, e.LogFile)
}

// StartChild starts a program. An end which cannot be repaired is sent to
// failed, which must have room for one error of each child.
func StartChild(spawner *Spawner, spec Spec, failed chan<- error) (*Child, error) {
	child := &Child{
		spec: spec, spawner: spawner, failed: failed,
		ended: make(chan struct{}), stop: make(chan struct{}),
	}
	if err := child.start(); err != nil {
		return nil, err
	}
	go child.supervise()
	return child, nil
}

// PID is the process id of the current incarnation.
func (c *Child) PID() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.cmd.Process.Pid
}

// Name is the program's name.
func (c *Child) Name() string { return c.spec.Name }

// PIDFile is the file which holds PID, across restarts.
func (c *Child) PIDFile() string { return c.spec.PIDFile }

// Settle makes every further end a reason to restart. Before it, an end means
// that the program cannot run as configured, and trying again would hide why.
func (c *Child) Settle() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.settled = true
}

// Stop ends the program: SIGTERM, then SIGKILL. It returns when it is gone.
func (c *Child) Stop() {
	c.mu.Lock()
	if !c.stopping {
		c.stopping = true
		close(c.stop)
		_ = c.cmd.Process.Signal(syscall.SIGTERM)
	}
	c.mu.Unlock()

	select {
	case <-c.ended:
		return
	case <-time.After(killAfter):
	}
	c.mu.Lock()
	_ = c.cmd.Process.Kill()
	c.mu.Unlock()
	<-c.ended
}

func (c *Child) supervise() {
	defer close(c.ended)
	for restarts := 0; ; restarts++ {
		_ = c.cmd.Wait()
		if !c.mayRestart() || restarts == maxRestarts {
			c.reportEnd(restarts)
			return
		}
		select {
		case <-c.stop:
			return
		case <-time.After(restartDelay):
		}
		if err := c.start(); err != nil {
			c.failed <- err
			return
		}
	}
}

func (c *Child) mayRestart() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.settled && !c.stopping
}

func (c *Child) reportEnd(restarts int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.stopping {
		return
	}
	c.failed <- &EndedError{
		Name: c.spec.Name, State: c.cmd.ProcessState.String(), LogFile: c.spec.LogFile, Restarts: restarts,
	}
}

// start runs the program and records its process id. Under the lock, so that
// Stop either sees the new process or prevents it.
func (c *Child) start() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.stopping {
		return nil
	}
	// Appending keeps what the killed predecessor said.
	log, err := os.OpenFile(c.spec.LogFile, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("open the log of %s: %w", c.spec.Name, err)
	}
	defer log.Close()

	cmd := exec.Command(c.spec.Path, c.spec.Args...)
	cmd.Stdout, cmd.Stderr = log, log
	// A group of its own: Ctrl-C in a terminal reaches only the launcher, which
	// then ends its children in an orderly way.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := c.spawner.Start(cmd, c.spec.DeathSignal); err != nil {
		return fmt.Errorf("start %s: %w", c.spec.Name, err)
	}
	c.cmd = cmd
	return writeAtomically(c.spec.PIDFile, strconv.Itoa(cmd.Process.Pid)+"\n")
}

// writeAtomically replaces a file so that a reader never sees half of it.
func writeAtomically(path, content string) error {
	temporary := filepath.Join(filepath.Dir(path), "."+filepath.Base(path))
	if err := os.WriteFile(temporary, []byte(content), 0o600); err != nil {
		return err
	}
	return os.Rename(temporary, path)
}
