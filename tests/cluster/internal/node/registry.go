package node

import (
	"context"
	"path/filepath"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"

	"gangplank.dev/testcluster/internal/process"
)

// registry holds the pods which run here.
type registry struct {
	config  Config
	client  kubernetes.Interface
	spawner *process.Spawner

	mu   sync.Mutex
	pods map[types.UID]*pod
	// closed: the node ends, nothing is to be started any more.
	closed bool
}

func newRegistry(config Config, client kubernetes.Interface, spawner *process.Spawner) *registry {
	return &registry{config: config, client: client, spawner: spawner, pods: map[types.UID]*pod{}}
}

// watch follows the pods bound to this node until ctx ends. The reflector below
// lists anew and goes on when the API server was away.
func (r *registry) watch(ctx context.Context) {
	bound := fields.OneTermEqualSelector("spec.nodeName", r.config.Name)
	_, controller := cache.NewInformerWithOptions(cache.InformerOptions{
		ListerWatcher: cache.NewListWatchFromClient(
			r.client.CoreV1().RESTClient(), "pods", corev1.NamespaceAll, bound),
		ObjectType: &corev1.Pod{},
		Handler: cache.ResourceEventHandlerFuncs{
			AddFunc:    func(object any) { r.observe(object.(*corev1.Pod)) },
			UpdateFunc: func(_, object any) { r.observe(object.(*corev1.Pod)) },
			DeleteFunc: func(object any) {
				// A deletion missed while the API server was away comes wrapped.
				if missed, ok := object.(cache.DeletedFinalStateUnknown); ok {
					object = missed.Obj
				}
				r.forget(object.(*corev1.Pod).UID)
			},
		},
	})
	controller.RunWithContext(ctx)
}

// observe brings what runs here in line with the API's view of one pod.
func (r *registry) observe(object *corev1.Pod) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return
	}
	known := r.pods[object.UID]
	if known == nil {
		known = newPod(r, object)
		r.pods[object.UID] = known
		known.begin()
	}
	if object.DeletionTimestamp != nil {
		known.terminate(graceOf(object))
	}
}

// forget ends what is left of a pod the API no longer has.
func (r *registry) forget(uid types.UID) {
	r.mu.Lock()
	gone := r.pods[uid]
	delete(r.pods, uid)
	r.mu.Unlock()
	if gone != nil {
		// In the background: other pods' events do not wait for this one's end.
		go gone.kill()
	}
}

// container finds a container for a stream.
func (r *registry) container(namespace, podName, name string) *container {
	if found := r.pod(namespace, podName); found != nil {
		return found.container(name)
	}
	return nil
}

// pod finds a pod by name. A name may be used again while its predecessor still
// ends: the successor is meant.
func (r *registry) pod(namespace, name string) *pod {
	r.mu.Lock()
	defer r.mu.Unlock()
	var ended *pod
	for _, candidate := range r.pods {
		if candidate.object.Namespace != namespace || candidate.object.Name != name {
			continue
		}
		if !candidate.isDoomed() {
			return candidate
		}
		ended = candidate
	}
	return ended
}

// killAll ends every pod's processes, for the node's own end.
func (r *registry) killAll() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.closed = true
	var ended sync.WaitGroup
	for _, each := range r.pods {
		ended.Go(each.kill)
	}
	ended.Wait()
}

func graceOf(object *corev1.Pod) time.Duration {
	if object.DeletionGracePeriodSeconds == nil {
		return 0
	}
	return time.Duration(*object.DeletionGracePeriodSeconds) * time.Second
}

// folder is where a pod keeps the folders of its containers.
func (r *registry) folder(object *corev1.Pod) string {
	return filepath.Join(r.config.Dir, "pods", podFileName(object))
}

// logFolder outlives the pod, for whoever looks into a failed test.
func (r *registry) logFolder(object *corev1.Pod) string {
	return filepath.Join(r.config.Dir, "logs", podFileName(object))
}

func podFileName(object *corev1.Pod) string {
	return object.Namespace + "_" + object.Name + "_" + string(object.UID)
}
