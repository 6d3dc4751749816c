// Package process starts programs which must not outlive this one, and starts
// them again when they end by themselves.
package process

import (
	"os/exec"
	"runtime"
	"syscall"
)

// Spawner starts processes from one operating system thread.
//
// Linux ties a parent-death signal to the *thread* which forked, not to the
// process. Go moves goroutines between threads and ends idle ones, so a child
// started from an ordinary goroutine may be killed while its parent is well.
// This thread lives exactly as long as the program.
type Spawner struct {
	requests chan func()
}

// NewSpawner starts the thread. It is never stopped: its end would kill every
// process started from it.
func NewSpawner() *Spawner {
	spawner := &Spawner{requests: make(chan func())}
	go func() {
		runtime.LockOSThread()
		for start := range spawner.requests {
			start()
		}
	}()
	return spawner
}

// Start starts cmd, which gets deathSignal when this program ends in whatever
// way, SIGKILL included.
func (s *Spawner) Start(cmd *exec.Cmd, deathSignal syscall.Signal) error {
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	cmd.SysProcAttr.Pdeathsig = deathSignal
	started := make(chan error, 1)
	s.requests <- func() { started <- cmd.Start() }
	return <-started
}
