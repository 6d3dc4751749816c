package main

import (
	"context"
	"flag"

	"gangplank.dev/testcluster/internal/node"
)

func runNode(ctx context.Context, args []string) error {
	flags := flag.NewFlagSet("node", flag.ExitOnError)
	var config node.Config
	flags.StringVar(&config.Name, "name", "", "name of the Node object")
	flags.StringVar(&config.Dir, "dir", "", "folder for the containers")
	flags.StringVar(&config.Kubeconfig, "kubeconfig", "", "with the node's identity")
	flags.IntVar(&config.Port, "port", 0, "to serve exec, attach, logs and port-forward on")
	flags.StringVar(&config.CertificateFile, "tls-cert-file", "", "certificate to serve with")
	flags.StringVar(&config.KeyFile, "tls-key-file", "", "key to serve with")
	flags.StringVar(&config.ClientCAFile, "client-ca-file", "", "authority of the API server's client certificate")
	flags.StringVar(&config.ClientName, "client-name", "", "common name of the API server's client certificate")
	_ = flags.Parse(args) // ends the program on an error
	return node.Run(ctx, config)
}
