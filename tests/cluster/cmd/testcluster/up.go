package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"gangplank.dev/testcluster/internal/cluster"
	"gangplank.dev/testcluster/internal/process"
)

// programs are what --bin must hold.
var programs = []string{"etcd", "kube-apiserver", "kube-controller-manager", "kubectl"}

// shownLines of a log are enough for its last error.
const shownLines = 10

// validName is a DNS label with room for a suffix: it becomes a node's name.
var validName = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?$`)

func up(ctx context.Context, args []string) error {
	config, err := parseUp(args)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() {
		// A test which dies closes its end of the pipe, in whatever way it dies.
		_, _ = io.Copy(io.Discard, os.Stdin)
		cancel()
	}()

	running, err := cluster.Up(ctx, config)
	if err != nil {
		return withLog(err)
	}
	defer running.Down()
	if err := json.NewEncoder(os.Stdout).Encode(running.Report()); err != nil {
		return err
	}
	return withLog(running.Run(ctx))
}

// withLog adds the last lines of the log of a program which ended: in a failed
// CI run the file itself is often gone.
func withLog(err error) error {
	var ended *process.EndedError
	if !errors.As(err, &ended) {
		return err
	}
	content, readErr := os.ReadFile(ended.LogFile)
	if readErr != nil {
		return err
	}
	lines := strings.Split(strings.TrimSpace(string(content)), "\n")
	return fmt.Errorf("%w\n%s", err, strings.Join(lines[max(0, len(lines)-shownLines):], "\n"))
}

func parseUp(args []string) (cluster.Config, error) {
	flags := flag.NewFlagSet("up", flag.ExitOnError)
	config := cluster.Config{Progress: func(string) {}}
	flags.StringVar(&config.Bin, "bin", "", "folder of etcd, kube-apiserver, kube-controller-manager and kubectl")
	flags.StringVar(&config.Dir, "dir", "", "empty or new folder for the cluster's files")
	flags.StringVar(&config.Name, "name", "test", "name of the cluster")
	verbose := flags.Bool("verbose", false, "say on standard error what is being done")
	_ = flags.Parse(args) // ends the program on an error
	if config.Bin == "" || config.Dir == "" || flags.NArg() > 0 {
		flags.Usage()
		return config, errors.New("--bin and --dir are needed, and nothing else besides flags")
	}
	if !validName.MatchString(config.Name) {
		return config, fmt.Errorf("--name %q: lower case letters, digits and inner dashes, at most 40", config.Name)
	}
	for _, program := range programs {
		if _, err := os.Stat(filepath.Join(config.Bin, program)); err != nil {
			return config, fmt.Errorf("%w (build.sh makes it)", err)
		}
	}
	if *verbose {
		begin := time.Now()
		config.Progress = func(line string) {
			fmt.Fprintf(os.Stderr, "testcluster: %5.1fs %s\n", time.Since(begin).Seconds(), line)
		}
	}
	return config, nil
}
