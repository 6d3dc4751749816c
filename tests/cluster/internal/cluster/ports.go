package cluster

import (
	"bufio"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"strconv"
	"strings"
)

// ports are what the programs of one cluster listen on, all on 127.0.0.1.
type ports struct {
	etcd, etcdPeer, api, node int
}

const (
	// lowestPort is above what services of the machine usually take.
	lowestPort = 20000
	// ephemeralDefault is where Linux begins to hand out ports by itself.
	ephemeralDefault = 32768
)

// choosePorts finds ports nobody listens on.
//
// They lie *below* the range from which the kernel serves "any free port". A
// port inside it may be given to some other program's connection in the 200 ms
// in which a killed kube-apiserver is down, and then it could never come back
// to its address.
func choosePorts() (ports, error) {
	var chosen [4]int
	taken := map[int]bool{}
	for i := range chosen {
		port, err := choosePort(taken)
		if err != nil {
			return ports{}, err
		}
		chosen[i], taken[port] = port, true
	}
	return ports{etcd: chosen[0], etcdPeer: chosen[1], api: chosen[2], node: chosen[3]}, nil
}

func choosePort(taken map[int]bool) (int, error) {
	highest := firstEphemeralPort()
	if highest-lowestPort < 1000 {
		// A machine with an unusual range: let the kernel choose after all.
		return askKernel()
	}
	for range 200 {
		port := lowestPort + rand.IntN(highest-lowestPort)
		if !taken[port] && isFree(port) {
			return port, nil
		}
	}
	return 0, fmt.Errorf("no free port found on 127.0.0.1 between %d and %d", lowestPort, highest)
}

func isFree(port int) bool {
	listener, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
	if err != nil {
		return false
	}
	_ = listener.Close()
	return true
}

func askKernel() (int, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	defer listener.Close()
	return listener.Addr().(*net.TCPAddr).Port, nil
}

func firstEphemeralPort() int {
	content, err := os.ReadFile("/proc/sys/net/ipv4/ip_local_port_range")
	if err != nil {
		return ephemeralDefault
	}
	first, err := strconv.Atoi(strings.Fields(string(content) + " x")[0])
	if err != nil {
		return ephemeralDefault
	}
	return first
}

// saysPortTaken reports whether a program's log gives a port that was grabbed
// between our asking and its binding as the reason of its end.
func saysPortTaken(logFile string) bool {
	file, err := os.Open(logFile)
	if err != nil {
		return false
	}
	defer file.Close()
	lines := bufio.NewScanner(file)
	for lines.Scan() {
		if strings.Contains(lines.Text(), "address already in use") {
			return true
		}
	}
	return false
}
