package node

import (
	"context"
	"os"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/klog/v2"

	"gangplank.dev/testcluster/internal/process"
)

// pod is one pod on this node, from the first sight of it to its deletion.
type pod struct {
	node   *registry
	object *corev1.Pod
	status *statusWriter
	// open ends when the pod is doomed: its processes are being ended, and none
	// is started again.
	open context.Context
	doom context.CancelFunc

	containers []*container
	startedAt  metav1.Time
	// refusal says why the pod cannot run on this node.
	refusal     string
	terminating sync.Once
}

func newPod(node *registry, object *corev1.Pod) *pod {
	open, doom := context.WithCancel(context.Background())
	p := &pod{node: node, object: object, open: open, doom: doom, startedAt: metav1.Now()}
	p.status = newStatusWriter(node.client, object, p.currentStatus)
	return p
}

// begin starts the pod's containers, unless it has ended or will.
func (p *pod) begin() {
	if p.object.DeletionTimestamp != nil || hasEnded(p.object) {
		p.doom()
		return
	}
	if p.refusal = whyRefused(p.object); p.refusal != "" {
		p.doom()
		p.status.write()
		return
	}
	for i := range p.object.Spec.Containers {
		p.containers = append(p.containers, newContainer(p, &p.object.Spec.Containers[i]))
	}
	for _, each := range p.containers {
		go each.run()
	}
}

// terminate ends the pod as its deletion asks, once: SIGTERM, the grace period,
// SIGKILL, and then the deletion of the object, which only a node completes.
func (p *pod) terminate(grace time.Duration) {
	p.terminating.Do(func() {
		go func() {
			p.stop(grace)
			p.status.finishDeletion()
		}()
	})
}

// kill ends the pod at once: its object is gone, or the node ends.
func (p *pod) kill() {
	p.stop(0)
	p.status.close()
}

func (p *pod) stop(grace time.Duration) {
	p.doom()
	deadline := time.Now().Add(grace)
	for _, each := range p.containers {
		each.askToEnd()
	}
	for _, each := range p.containers {
		each.awaitEnd(time.Until(deadline))
	}
	folder := p.node.folder(p.object)
	process.KillLeftovers(podDirVariable, folder)
	if err := os.RemoveAll(folder); err != nil {
		klog.InfoS("Pod folder is not removed", "folder", folder, "err", err)
	}
}

func (p *pod) isDoomed() bool { return p.open.Err() != nil }

func (p *pod) container(name string) *container {
	for _, each := range p.containers {
		if each.spec.Name == name {
			return each
		}
	}
	return nil
}

func hasEnded(object *corev1.Pod) bool {
	return object.Status.Phase == corev1.PodSucceeded || object.Status.Phase == corev1.PodFailed
}
