package node

import (
	"errors"
	"io"
	"os"
	"os/exec"
	"sync"
	"syscall"

	utilexec "k8s.io/utils/exec"
)

// endOfInput is what a terminal takes for the end of its input (Ctrl-D).
const endOfInput = 0x04

// execute runs a further command in a running container and returns when it has
// ended and all of its output is written.
func (c *container) execute(args []string, client streams) error {
	if len(args) == 0 {
		return errors.New("no command given")
	}
	if c.active() == nil {
		return errors.New("the container is not running")
	}
	command := newCommand(c, args)
	var err error
	if client.tty {
		err = c.executeOnTerminal(command, client)
	} else {
		err = c.executeOnPipes(command, client)
	}
	if err != nil {
		return err
	}
	if code := exitCode(command.ProcessState); code != 0 {
		return utilexec.CodeExitError{Err: errors.New(command.ProcessState.String()), Code: int(code)}
	}
	return nil
}

func (c *container) executeOnPipes(command *exec.Cmd, client streams) error {
	var copying sync.WaitGroup
	stdout, err := newPump(client.stdout)
	if err != nil {
		return err
	}
	defer stdout.abandon()
	stderr, err := newPump(client.stderr)
	if err != nil {
		return err
	}
	defer stderr.abandon()
	command.Stdout, command.Stderr = stdout.write, stderr.write

	var stdin io.WriteCloser
	if client.stdin != nil {
		if stdin, err = command.StdinPipe(); err != nil {
			return err
		}
	}
	if err := c.spawnFurther(command); err != nil {
		return err
	}
	if stdin != nil {
		// Not waited for: a client may keep its input open after the end.
		go func() {
			defer stdin.Close()
			_, _ = io.Copy(stdin, client.stdin)
		}()
	}
	copying.Go(stdout.run)
	copying.Go(stderr.run)
	// Without a limit of time: a client which reads slowly gets everything. What
	// the command left behind holds its output open, here as in a real cluster.
	copying.Wait()
	return waitUnlessFailed(command)
}

func (c *container) executeOnTerminal(command *exec.Cmd, client streams) error {
	near, far, err := openTerminal()
	if err != nil {
		return err
	}
	defer near.Close()
	useTerminal(command, far)
	client.setFirstSize(near)
	go client.followSize(near)
	err = c.spawnFurther(command)
	far.Close()
	if err != nil {
		return err
	}
	if client.stdin != nil {
		go func() {
			_, _ = io.Copy(near, client.stdin)
			// A terminal cannot be half closed. This ends a shell whose client
			// has gone, and which would otherwise wait for ever.
			_, _ = near.Write([]byte{endOfInput})
		}()
	}
	// Ends with an error when the last process closes the terminal: its way of
	// saying end of file.
	_, _ = io.Copy(client.stdout, near)
	// If it was the client who left, the command is told by a hang-up.
	near.Close()
	return waitUnlessFailed(command)
}

// spawnFurther starts a process beside the container's own. If the pod was
// doomed meanwhile, its processes may have been swept already, without this one.
func (c *container) spawnFurther(command *exec.Cmd) error {
	err := c.pod.node.spawner.Start(command, syscall.SIGKILL)
	if err == nil && c.pod.isDoomed() {
		_ = command.Process.Kill()
	}
	return err
}

// waitUnlessFailed waits for the end. An exit code is not an error of waiting.
func waitUnlessFailed(command *exec.Cmd) error {
	err := command.Wait()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return nil
	}
	return err
}

// pump moves one output of a command to the client.
type pump struct {
	read, write *os.File
	to          io.Writer
}

func newPump(to io.Writer) (*pump, error) {
	read, write, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	return &pump{read: read, write: write, to: to}, nil
}

// run copies until the command closed its end, or the client its own. In the
// latter case the command is told by a broken pipe.
func (p *pump) run() {
	p.write.Close() // ours; the command has its copy
	_, _ = io.Copy(p.to, p.read)
	p.read.Close()
}

// abandon closes what run did not.
func (p *pump) abandon() {
	p.write.Close()
	p.read.Close()
}
