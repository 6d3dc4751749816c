package node

import (
	corev1 "k8s.io/api/core/v1"
)

// whyRefused names what this node does not do. A pod which asks for it fails
// with this message and does not run without it: a test must not pass because
// something was left out in silence.
func whyRefused(object *corev1.Pod) string {
	if len(object.Spec.InitContainers) > 0 {
		return "this node runs no init containers"
	}
	for _, volume := range object.Spec.Volumes {
		// The API server itself adds the service account's projected volume to
		// every pod.
		if volume.Projected == nil {
			return "this node mounts no volumes: " + volume.Name
		}
	}
	for i := range object.Spec.Containers {
		if reason := whyContainerRefused(&object.Spec.Containers[i]); reason != "" {
			return reason
		}
	}
	if object.Status.StartTime != nil && object.Spec.RestartPolicy == corev1.RestartPolicyNever {
		// An earlier node process ran it and was killed, its containers with it.
		return "the node was restarted, and this pod is not to be"
	}
	return ""
}

func whyContainerRefused(container *corev1.Container) string {
	for _, variable := range container.Env {
		if variable.ValueFrom != nil {
			return "this node reads no variables from elsewhere: " + variable.Name
		}
	}
	if len(container.EnvFrom) > 0 {
		return "this node reads no variables from elsewhere"
	}
	if container.LivenessProbe != nil || container.ReadinessProbe != nil || container.StartupProbe != nil {
		return "this node does not probe"
	}
	if container.Lifecycle != nil {
		return "this node runs no lifecycle hooks"
	}
	return ""
}
