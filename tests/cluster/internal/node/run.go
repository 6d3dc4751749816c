package node

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"time"

	"github.com/creack/pty"

	"gangplank.dev/testcluster/internal/process"
)

// drainLimit is how long the output of an ended process may take to be read. A
// process which left the container's session may hold the pipe open for ever.
const drainLimit = time.Second

// run is one process of a container, with its output.
type run struct {
	container *container
	command   *exec.Cmd
	output    *output
	// stdin is what attached clients write to; nil unless the container asks
	// for it.
	stdin io.WriteCloser
	// terminal is the near end of the container's terminal, or nil.
	terminal *os.File
	pumps    sync.WaitGroup
}

// startRun starts the container's command in its folder.
func startRun(c *container) (*run, error) {
	if err := os.MkdirAll(c.folder(), 0o700); err != nil {
		return nil, err
	}
	log, err := newOutput(c.logFile())
	if err != nil {
		return nil, err
	}
	r := &run{container: c, output: log, command: newCommand(c, containerArgs(c))}
	if c.spec.TTY {
		err = r.startOnTerminal()
	} else {
		err = r.startOnPipes()
	}
	if err != nil {
		log.finish()
		return nil, err
	}
	return r, nil
}

// containerArgs is what the container runs. There is no image to say it, so a
// container without a command only exists, like a pause container.
func containerArgs(c *container) []string {
	args := append(append([]string{}, c.spec.Command...), c.spec.Args...)
	if len(args) == 0 {
		return []string{"sleep", "infinity"}
	}
	return args
}

// newCommand is a process of a container, its own or one of exec.
func newCommand(c *container, args []string) *exec.Cmd {
	command := exec.Command(args[0], args[1:]...)
	command.Env = c.environment()
	command.Dir = c.folder()
	if c.spec.WorkingDir != "" {
		command.Dir = c.spec.WorkingDir
	}
	// A session and so a process group of its own, which is ended as one.
	command.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	return command
}

func (r *run) startOnPipes() error {
	outRead, outWrite, err := os.Pipe()
	if err != nil {
		return err
	}
	defer outWrite.Close()
	errRead, errWrite, err := os.Pipe()
	if err != nil {
		return err
	}
	defer errWrite.Close()
	// Files and not writers: Wait then returns when the process ends, and not
	// when the last holder of its output does.
	r.command.Stdout, r.command.Stderr = outWrite, errWrite
	if r.container.spec.Stdin {
		if r.stdin, err = r.command.StdinPipe(); err != nil {
			return err
		}
	}
	if err := r.spawn(); err != nil {
		outRead.Close()
		errRead.Close()
		return err
	}
	r.pump(outRead, r.output.stdout())
	r.pump(errRead, r.output.stderr())
	return nil
}

func (r *run) startOnTerminal() error {
	near, far, err := openTerminal()
	if err != nil {
		return err
	}
	defer far.Close()
	useTerminal(r.command, far)
	if err := r.spawn(); err != nil {
		near.Close()
		return err
	}
	r.terminal = near
	if r.container.spec.Stdin {
		r.stdin = near
	}
	r.pump(near, r.output.stdout())
	return nil
}

func (r *run) spawn() error {
	return r.container.pod.node.spawner.Start(r.command, syscall.SIGKILL)
}

// pump moves output to the log and to attached clients until its end.
func (r *run) pump(from *os.File, to io.Writer) {
	r.pumps.Go(func() {
		defer from.Close()
		_, _ = io.Copy(to, from)
	})
}

// wait returns the exit code when the process has ended, everything it started
// is gone and its output is in the log.
func (r *run) wait() int32 {
	_ = r.command.Wait()
	// The end of its first process ends a container.
	r.kill()
	process.KillLeftovers(podDirVariable, r.container.folder())
	drained := make(chan struct{})
	go func() {
		r.pumps.Wait()
		r.output.finish()
		close(drained)
	}()
	select {
	case <-drained:
	case <-time.After(drainLimit):
	}
	return exitCode(r.command.ProcessState)
}

func (r *run) askToEnd() { r.signalGroup(syscall.SIGTERM) }
func (r *run) kill()     { r.signalGroup(syscall.SIGKILL) }

func (r *run) signalGroup(signal syscall.Signal) {
	_ = syscall.Kill(-r.command.Process.Pid, signal)
}

// exitCode is the shell's: 128 and the number of the signal for a killed one.
func exitCode(state *os.ProcessState) int32 {
	if status, ok := state.Sys().(syscall.WaitStatus); ok && status.Signaled() {
		return int32(128 + status.Signal())
	}
	return int32(state.ExitCode())
}

// openTerminal makes a terminal of the usual size, until a client tells its own.
func openTerminal() (near, far *os.File, err error) {
	near, far, err = pty.Open()
	if err != nil {
		return nil, nil, fmt.Errorf("open a terminal: %w", err)
	}
	if err := pty.Setsize(near, &pty.Winsize{Rows: 24, Cols: 80}); err != nil {
		return nil, nil, errors.Join(err, near.Close(), far.Close())
	}
	return near, far, nil
}

// useTerminal makes far the controlling terminal of a command.
func useTerminal(command *exec.Cmd, far *os.File) {
	command.Stdin, command.Stdout, command.Stderr = far, far, far
	command.SysProcAttr.Setctty = true
}
