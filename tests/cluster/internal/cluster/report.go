package cluster

import (
	"path/filepath"

	"gangplank.dev/testcluster/internal/process"
)

// Report is what `up` prints when the cluster is ready. Every path is absolute.
type Report struct {
	Name string `json:"name"`
	Dir  string `json:"dir"`
	// Server is the API server's URL, and CA the file with which to check it.
	Server string `json:"server"`
	CA     string `json:"ca"`
	// AdminKubeconfig is a member of system:masters.
	AdminKubeconfig string `json:"admin_kubeconfig"`
	// ProxyKubeconfig is the user gangplank-exit, by certificate.
	ProxyKubeconfig string `json:"proxy_kubeconfig"`
	// ProxyTokenKubeconfig is the service account gangplank-exit, whose token
	// is in TokenFile.
	ProxyTokenKubeconfig string `json:"proxy_token_kubeconfig"`
	TokenFile            string `json:"token_file"`
	AuditLog             string `json:"audit_log"`
	NodeName             string `json:"node_name"`
	// PIDs are those at the time of the report; PIDFiles hold the current ones.
	PIDs     map[string]int    `json:"pids"`
	PIDFiles map[string]string `json:"pid_files"`
	Kubectl  string            `json:"kubectl"`
}

func newReport(config Config, l layout, server string, children []*process.Child) Report {
	report := Report{
		Name: config.Name, Dir: l.root,
		Server: server, CA: l.certificate(clusterCA),
		AdminKubeconfig:      l.kubeconfig(admin),
		ProxyKubeconfig:      l.kubeconfig(exitUser),
		ProxyTokenKubeconfig: l.kubeconfig(exitTokenFile),
		TokenFile:            l.proxyToken(),
		AuditLog:             l.auditLog(),
		NodeName:             config.nodeName(),
		PIDs:                 map[string]int{},
		PIDFiles:             map[string]string{},
		Kubectl:              filepath.Join(config.Bin, "kubectl"),
	}
	for _, child := range children {
		report.PIDs[child.Name()] = child.PID()
		report.PIDFiles[child.Name()] = child.PIDFile()
	}
	return report
}
