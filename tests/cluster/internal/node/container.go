package node

import (
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

const (
	// podDirVariable tells every process of a container its folder, and the
	// node which processes are a container's.
	podDirVariable = "POD_DIR"
	// firstBackoff and lastBackoff are shorter than a kubelet's 10 s and 5 min:
	// a test waits for the restart, and no image registry has to be spared.
	firstBackoff = 500 * time.Millisecond
	lastBackoff  = 8 * time.Second
	// startErrorCode is the exit code which container runtimes report for a
	// command that could not be started.
	startErrorCode = 128
	// killLimit is how long a killed process may take to vanish.
	killLimit = 5 * time.Second
)

// container runs one container of a pod, again and again if its pod says so.
type container struct {
	pod  *pod
	spec *corev1.Container
	// ended is closed when no further run will follow.
	ended chan struct{}

	mu       sync.Mutex
	latest   *run
	state    corev1.ContainerState
	previous corev1.ContainerState
	restarts int32
}

func newContainer(p *pod, spec *corev1.Container) *container {
	return &container{
		pod: p, spec: spec, ended: make(chan struct{}),
		state: waiting("ContainerCreating"),
	}
}

// run starts the container and, as the restart policy says, starts it again.
func (c *container) run() {
	defer close(c.ended)
	for backoff := firstBackoff; !c.pod.isDoomed(); backoff = min(2*backoff, lastBackoff) {
		c.runOnce()
		if !c.runsAgain() {
			return
		}
		c.becomeWaiting()
		if !pause(c.pod.open, backoff) {
			return
		}
	}
}

func (c *container) runOnce() {
	c.mu.Lock()
	startedAt := metav1.Now()
	// Under the lock: whoever dooms the pod now finds this run, and ends it.
	started, err := startRun(c)
	if err == nil {
		c.latest = started
		c.state = corev1.ContainerState{
			Running: &corev1.ContainerStateRunning{StartedAt: startedAt},
		}
	}
	c.mu.Unlock()
	if err != nil {
		c.becomeTerminated(startedAt, startErrorCode, "StartError", err.Error())
		return
	}
	c.pod.status.write()
	switch code := started.wait(); code {
	case 0:
		c.becomeTerminated(startedAt, code, "Completed", "")
	default:
		c.becomeTerminated(startedAt, code, "Error", "")
	}
}

func (c *container) becomeTerminated(startedAt metav1.Time, code int32, reason, message string) {
	c.mu.Lock()
	c.state = corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{
		ExitCode: code, Reason: reason, Message: message,
		StartedAt: startedAt, FinishedAt: metav1.Now(), ContainerID: c.id(),
	}}
	c.mu.Unlock()
	c.pod.status.write()
}

func (c *container) becomeWaiting() {
	c.mu.Lock()
	c.previous, c.state = c.state, waiting("CrashLoopBackOff")
	c.restarts++
	c.mu.Unlock()
	c.pod.status.write()
}

func (c *container) runsAgain() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return !c.pod.isDoomed() && policyRestarts(c.pod.object.Spec.RestartPolicy, c.state.Terminated.ExitCode)
}

func policyRestarts(policy corev1.RestartPolicy, exitCode int32) bool {
	return policy == corev1.RestartPolicyAlways ||
		policy == corev1.RestartPolicyOnFailure && exitCode != 0
}

// askToEnd sends SIGTERM to the container's processes.
func (c *container) askToEnd() {
	if active := c.active(); active != nil {
		active.askToEnd()
	}
}

// awaitEnd waits for the end, and kills when patience is over.
func (c *container) awaitEnd(patience time.Duration) {
	select {
	case <-c.ended:
		return
	case <-time.After(patience):
	}
	if active := c.active(); active != nil {
		active.kill()
	}
	select {
	case <-c.ended:
	case <-time.After(killLimit):
	}
}

// active is the run whose process lives, or nil.
func (c *container) active() *run {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.state.Running == nil {
		return nil
	}
	return c.latest
}

// shown is the run whose output is to be read: the latest, alive or not.
func (c *container) shown() *run {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.latest
}

// id names the current run. The caller holds the lock.
func (c *container) id() string {
	return "process://" + string(c.pod.object.UID) + "-" + c.spec.Name + "-" + strconv.Itoa(int(c.restarts))
}

// folder is the working directory of the container's processes.
func (c *container) folder() string {
	return filepath.Join(c.pod.node.folder(c.pod.object), c.spec.Name)
}

// logFile is that of the current run. The caller holds the lock.
func (c *container) logFile() string {
	return filepath.Join(c.pod.node.logFolder(c.pod.object), c.spec.Name+"."+strconv.Itoa(int(c.restarts))+".log")
}

// environment is what every process of the container gets.
func (c *container) environment() []string {
	environment := []string{
		"PATH=" + os.Getenv("PATH"),
		"HOME=" + c.folder(),
		"TERM=xterm",
		"LANG=C.UTF-8",
		"HOSTNAME=" + c.pod.object.Name,
	}
	for _, variable := range c.spec.Env {
		environment = append(environment, variable.Name+"="+variable.Value)
	}
	// Last, and so not to be overridden: the node finds its processes by it.
	return append(environment, podDirVariable+"="+c.folder())
}

func waiting(reason string) corev1.ContainerState {
	return corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: reason}}
}
