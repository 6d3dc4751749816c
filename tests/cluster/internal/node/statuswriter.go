package node

import (
	"context"
	"encoding/json"
	"sync"
	"sync/atomic"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"k8s.io/klog/v2"
)

// writeRetry is how soon a write is repeated while the API server is down.
const writeRetry = 200 * time.Millisecond

// statusWriter brings one pod's status to the API server, whatever the server
// is doing meanwhile.
//
// It is told *that* the status changed and asks for it when it sends. So states
// which were overtaken are skipped, and an older one never follows a newer.
type statusWriter struct {
	client   kubernetes.Interface
	object   *corev1.Pod
	describe func() corev1.PodStatus

	open  context.Context
	close context.CancelFunc
	begin sync.Once
	// changed has room for one: it says that there is something to send.
	changed chan struct{}
	// deleting: the deletion of the object follows the next status.
	deleting atomic.Bool
}

func newStatusWriter(client kubernetes.Interface, object *corev1.Pod, describe func() corev1.PodStatus) *statusWriter {
	open, closeWriter := context.WithCancel(context.Background())
	return &statusWriter{
		client: client, object: object, describe: describe,
		open: open, close: closeWriter, changed: make(chan struct{}, 1),
	}
}

// write has the status sent, and does not wait for it.
func (w *statusWriter) write() {
	w.begin.Do(func() { go w.sendChanges() })
	select {
	case w.changed <- struct{}{}:
	default:
	}
}

// finishDeletion has the last status sent and then the object removed, which is
// what makes `kubectl delete` return.
func (w *statusWriter) finishDeletion() {
	w.deleting.Store(true)
	w.write()
}

func (w *statusWriter) sendChanges() {
	for {
		select {
		case <-w.open.Done():
			return
		case <-w.changed:
		}
		for {
			err := w.send()
			if err == nil || apierrors.IsNotFound(err) {
				break
			}
			if w.open.Err() != nil {
				return // the object is gone before its deletion was answered
			}
			klog.InfoS("Pod status is not written", "pod", klog.KObj(w.object), "err", err)
			if !pause(w.open, writeRetry) {
				return
			}
		}
	}
}

func (w *statusWriter) send() error {
	// Read first: a deletion asked for after this line sets changed again.
	deleting := w.deleting.Load()
	if err := w.patch(w.describe()); err != nil || !deleting {
		return err
	}
	return w.client.CoreV1().Pods(w.object.Namespace).Delete(w.open, w.object.Name, metav1.DeleteOptions{
		GracePeriodSeconds: new(int64),
		Preconditions:      metav1.NewUIDPreconditions(string(w.object.UID)),
	})
}

func (w *statusWriter) patch(status corev1.PodStatus) error {
	// With the UID, a pod which took over the name is not taken for this one.
	body, err := json.Marshal(map[string]any{
		"metadata": map[string]any{"uid": w.object.UID},
		"status":   status,
	})
	if err != nil {
		return err
	}
	_, err = w.client.CoreV1().Pods(w.object.Namespace).Patch(
		w.open, w.object.Name, types.StrategicMergePatchType, body, metav1.PatchOptions{}, "status")
	return err
}
