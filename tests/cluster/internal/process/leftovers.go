package process

import (
	"bytes"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"time"
)

const (
	// maxPasses times passInterval is how long a killed process may take to
	// vanish: a large one has memory to give back.
	maxPasses    = 100
	passInterval = 5 * time.Millisecond
)

// KillLeftovers kills every process whose environment had variable set to
// folder, or to a folder below it, when it was started.
//
// A process group and a parent-death signal reach what a program started
// itself. A daemon which made its own session, or the grandchild of a killed
// process, is found only by what it inherited: its environment.
func KillLeftovers(variable, folder string) {
	// A process may start another between our looking at it and its end. And
	// once none is found, they are gone and not just about to go.
	for range maxPasses {
		if killFound(variable, folder) == 0 {
			return
		}
		time.Sleep(passInterval)
	}
}

func killFound(variable, folder string) (found int) {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return 0
	}
	for _, entry := range entries {
		pid, err := strconv.Atoi(entry.Name())
		if err != nil || pid == os.Getpid() {
			continue
		}
		environment, err := os.ReadFile(filepath.Join("/proc", entry.Name(), "environ"))
		if err != nil {
			continue // gone meanwhile, or another user's
		}
		if hasFolder(environment, variable, folder) {
			_ = syscall.Kill(pid, syscall.SIGKILL)
			found++
		}
	}
	return found
}

func hasFolder(environment []byte, variable, folder string) bool {
	prefix := []byte(variable + "=" + folder)
	for _, assignment := range bytes.Split(environment, []byte{0}) {
		rest, found := bytes.CutPrefix(assignment, prefix)
		// Either the folder itself or something below: not a sibling whose name
		// only begins alike.
		if found && (len(rest) == 0 || rest[0] == '/') {
			return true
		}
	}
	return false
}
