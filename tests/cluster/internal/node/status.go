package node

import (
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// currentStatus describes the pod as it is now.
func (p *pod) currentStatus() corev1.PodStatus {
	if hasEnded(p.object) {
		return p.object.Status
	}
	status := corev1.PodStatus{
		HostIP: "127.0.0.1", HostIPs: []corev1.HostIP{{IP: "127.0.0.1"}},
		PodIP: "127.0.0.1", PodIPs: []corev1.PodIP{{IP: "127.0.0.1"}},
		StartTime: &p.startedAt,
	}
	if p.refusal != "" {
		status.Phase, status.Reason, status.Message = corev1.PodFailed, "RefusedByNode", p.refusal
		return status
	}
	for _, each := range p.containers {
		status.ContainerStatuses = append(status.ContainerStatuses, each.status())
	}
	status.Phase = phaseOf(status.ContainerStatuses, p.object.Spec.RestartPolicy, p.isDoomed())
	status.Conditions = conditionsOf(status, p.startedAt)
	return status
}

func (c *container) status() corev1.ContainerStatus {
	c.mu.Lock()
	defer c.mu.Unlock()
	running := c.state.Running != nil
	return corev1.ContainerStatus{
		Name: c.spec.Name, Image: c.spec.Image, ImageID: "ignored",
		ContainerID: c.id(),
		State:       *c.state.DeepCopy(), LastTerminationState: *c.previous.DeepCopy(),
		Ready: running, Started: &running, RestartCount: c.restarts,
	}
}

// phaseOf follows the kubelet: a pod is over when every container is and none
// will be started again.
func phaseOf(containers []corev1.ContainerStatus, policy corev1.RestartPolicy, doomed bool) corev1.PodPhase {
	var notStarted, over, failed int
	for _, each := range containers {
		terminated := each.State.Terminated
		switch {
		case terminated != nil && (doomed || !policyRestarts(policy, terminated.ExitCode)):
			over++
			if terminated.ExitCode != 0 {
				failed++
			}
		case each.State.Waiting != nil && each.RestartCount == 0:
			notStarted++
		}
	}
	switch {
	case notStarted > 0:
		return corev1.PodPending
	case over < len(containers):
		return corev1.PodRunning
	case failed == 0:
		return corev1.PodSucceeded
	default:
		return corev1.PodFailed
	}
}

func conditionsOf(status corev1.PodStatus, since metav1.Time) []corev1.PodCondition {
	ready, reason, changed := corev1.ConditionTrue, "", since
	for _, each := range status.ContainerStatuses {
		if !each.Ready {
			ready, reason, changed = corev1.ConditionFalse, "ContainersNotReady", metav1.Now()
		}
	}
	if status.Phase == corev1.PodSucceeded {
		reason = "PodCompleted"
	}
	return []corev1.PodCondition{
		{Type: corev1.PodScheduled, Status: corev1.ConditionTrue, LastTransitionTime: since},
		{Type: corev1.PodInitialized, Status: corev1.ConditionTrue, LastTransitionTime: since},
		{Type: corev1.ContainersReady, Status: ready, Reason: reason, LastTransitionTime: changed},
		{Type: corev1.PodReady, Status: ready, Reason: reason, LastTransitionTime: changed},
	}
}
