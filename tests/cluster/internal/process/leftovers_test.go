package process

import (
	"os/exec"
	"testing"
)

func TestHasFolder(t *testing.T) {
	environment := []byte("A=1\x00POD_DIR=/tmp/pod/main\x00B=POD_DIR=/tmp/other\x00")
	for folder, want := range map[string]bool{
		"/tmp/pod/main": true,
		"/tmp/pod":      true,
		"/tmp/po":       false, // a sibling
		"/tmp/other":    false, // in a value
		"/tmp/pod/mai":  false,
	} {
		if got := hasFolder(environment, "POD_DIR", folder); got != want {
			t.Errorf("%s: got %t", folder, got)
		}
	}
}

// A process which left its session is found by what it inherited.
func TestKillLeftoversFindsDaemons(t *testing.T) {
	folder := t.TempDir()
	parent := exec.Command("sh", "-c", "setsid sleep 1000 &")
	parent.Env = append(parent.Environ(), "TEST_DIR="+folder+"/below")
	if err := parent.Run(); err != nil {
		t.Fatal(err)
	}
	if found := killFound("TEST_DIR", folder); found != 1 {
		t.Fatalf("%d processes found", found)
	}
	KillLeftovers("TEST_DIR", folder)
	if found := killFound("TEST_DIR", folder); found != 0 {
		t.Errorf("%d processes are left", found)
	}
}
