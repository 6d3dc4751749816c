package node

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
)

func TestPhase(t *testing.T) {
	const (
		always    = corev1.RestartPolicyAlways
		never     = corev1.RestartPolicyNever
		onFailure = corev1.RestartPolicyOnFailure
	)
	fresh := corev1.ContainerStatus{State: waiting("ContainerCreating")}
	again := corev1.ContainerStatus{State: waiting("CrashLoopBackOff"), RestartCount: 1}
	running := corev1.ContainerStatus{State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{}}}
	cases := []struct {
		name       string
		policy     corev1.RestartPolicy
		doomed     bool
		containers []corev1.ContainerStatus
		want       corev1.PodPhase
	}{
		{"one is not started", always, false, []corev1.ContainerStatus{running, fresh}, corev1.PodPending},
		{"all run", always, false, []corev1.ContainerStatus{running, running}, corev1.PodRunning},
		{"one will run again", always, false, []corev1.ContainerStatus{again}, corev1.PodRunning},
		{"one ended, to be started again", always, false, []corev1.ContainerStatus{over(1)}, corev1.PodRunning},
		{"one ended, one runs", never, false, []corev1.ContainerStatus{over(1), running}, corev1.PodRunning},
		{"all ended well", never, false, []corev1.ContainerStatus{over(0), over(0)}, corev1.PodSucceeded},
		{"one ended badly", never, false, []corev1.ContainerStatus{over(0), over(2)}, corev1.PodFailed},
		{"well is enough", onFailure, false, []corev1.ContainerStatus{over(0)}, corev1.PodSucceeded},
		{"badly is not", onFailure, false, []corev1.ContainerStatus{over(1)}, corev1.PodRunning},
		{"ended by deletion", always, true, []corev1.ContainerStatus{over(143)}, corev1.PodFailed},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			if got := phaseOf(c.containers, c.policy, c.doomed); got != c.want {
				t.Errorf("got %s, want %s", got, c.want)
			}
		})
	}
}

func over(exitCode int32) corev1.ContainerStatus {
	return corev1.ContainerStatus{State: corev1.ContainerState{
		Terminated: &corev1.ContainerStateTerminated{ExitCode: exitCode},
	}}
}
