// Testcluster brings up a real Kubernetes cluster of local processes for the
// length of a test, or is its node.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"
)

const usage = `usage:
  testcluster up --bin DIR --dir DIR [--name NAME] [--verbose]

Brings a cluster up, prints one line of JSON which describes it, and keeps it up
until SIGTERM, SIGINT or the end of its standard input.
`

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := dispatch(ctx, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "testcluster:", err)
		os.Exit(1)
	}
}

func dispatch(ctx context.Context, args []string) error {
	verb := ""
	if len(args) > 0 {
		verb = args[0]
	}
	switch verb {
	case "up":
		return up(ctx, args[1:])
	case "node": // for up only, and so not in the usage
		return runNode(ctx, args[1:])
	default:
		fmt.Fprint(os.Stderr, usage)
		return fmt.Errorf("unknown verb %q", verb)
	}
}
