// Program h2spec runs the conformance tests of github.com/summerwind/h2spec against a server without TLS, and writes
// one line for each test to a file: its outcome, its section and what it is about.
//
//	h2spec ADDRESS FILE
//
// h2spec's own program shows no client certificate; who calls this one ends the TLS beside it.
package main

import (
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/summerwind/h2spec/config"
	"github.com/summerwind/h2spec/generic"
	"github.com/summerwind/h2spec/hpack"
	"github.com/summerwind/h2spec/http2"
	"github.com/summerwind/h2spec/spec"
)

// Patience is how long a test waits for what it expects. A test that fails takes this long.
const patience = 2 * time.Second

func main() {
	if len(os.Args) != 3 {
		fail(fmt.Errorf("usage: h2spec ADDRESS FILE"))
	}
	host, number, err := net.SplitHostPort(os.Args[1])
	if err != nil {
		fail(err)
	}
	port, err := strconv.Atoi(number)
	if err != nil {
		fail(err)
	}
	settings := &config.Config{Host: host, Port: port, Path: "/", Timeout: patience, MaxHeaderLen: 4000, Strict: true}
	var report strings.Builder
	for _, group := range []*spec.TestGroup{generic.Spec(), http2.Spec(), hpack.Spec()} {
		group.Test(settings)
		write(&report, group)
	}
	if err := os.WriteFile(os.Args[2], []byte(report.String()), 0o644); err != nil {
		fail(err)
	}
}

func write(report *strings.Builder, group *spec.TestGroup) {
	for number, test := range append(group.Tests, group.StrictTests...) {
		if test.Result != nil {
			fmt.Fprintf(report, "%s %s/%d %s\n", outcome(test.Result), group.ID(), number+1, test.Desc)
		}
	}
	for _, inner := range group.Groups {
		write(report, inner)
	}
}

func outcome(result *spec.TestResult) string {
	switch {
	case result.Skipped:
		return "skipped"
	case result.Failed:
		return "failed"
	default:
		return "passed"
	}
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, "h2spec:", err)
	os.Exit(1)
}
