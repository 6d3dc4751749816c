package cluster

import (
	"path/filepath"
	"syscall"

	"gangplank.dev/testcluster/internal/process"
)

func etcdSpec(l layout, bin string, p ports) process.Spec {
	const name = "etcd"
	client, peer := httpURL(p.etcd), httpURL(p.etcdPeer)
	return newSpec(l, name, filepath.Join(bin, name), []string{
		"--name=" + name,
		"--data-dir=" + l.etcd(),
		"--listen-client-urls=" + client,
		"--advertise-client-urls=" + client,
		"--listen-peer-urls=" + peer,
		"--initial-advertise-peer-urls=" + peer,
		"--initial-cluster=" + name + "=" + peer,
		// Written data survives the kill of a process without fsync, and only
		// that is ever tested. It saves a second of every start on a slow disk.
		"--unsafe-no-fsync",
		"--log-level=warn",
	})
}

// newSpec fills in what the children share.
func newSpec(l layout, name, path string, args []string) process.Spec {
	return process.Spec{
		Name: name, Path: path, Args: args,
		DeathSignal: syscall.SIGKILL,
		LogFile:     l.log(name), PIDFile: l.pidFile(name),
	}
}
