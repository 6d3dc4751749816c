package node

import (
	"context"
	"fmt"
	"runtime"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/klog/v2"
)

const (
	// heartbeat is the kubelet's own lease interval.
	heartbeat = 10 * time.Second
	// leaseSeconds is the kubelet's own lease duration.
	leaseSeconds = int32(40)
	// registrationRetry is short: a test waits for it.
	registrationRetry = 200 * time.Millisecond
	// maxPods is the kubelet's default.
	maxPods = "110"
)

// register creates the Node object or brings an earlier one up to date.
func register(ctx context.Context, client kubernetes.Interface, config Config) error {
	for {
		err := createOrUpdate(ctx, client, config)
		if err == nil {
			return nil
		}
		klog.InfoS("Node is not registered yet", "err", err)
		if !pause(ctx, registrationRetry) {
			return fmt.Errorf("register: %w", context.Cause(ctx))
		}
	}
}

func createOrUpdate(ctx context.Context, client kubernetes.Interface, config Config) error {
	nodes := client.CoreV1().Nodes()
	wanted := nodeObject(config)
	existing, err := nodes.Get(ctx, config.Name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		_, err = nodes.Create(ctx, wanted, metav1.CreateOptions{})
		return err
	}
	if err != nil {
		return err
	}
	existing.Status = wanted.Status
	_, err = nodes.UpdateStatus(ctx, existing, metav1.UpdateOptions{})
	return err
}

func nodeObject(config Config) *corev1.Node {
	now := metav1.Now()
	capacity := corev1.ResourceList{
		corev1.ResourceCPU:    *resource.NewQuantity(int64(runtime.NumCPU()), resource.DecimalSI),
		corev1.ResourceMemory: resource.MustParse("4Gi"),
		corev1.ResourcePods:   resource.MustParse(maxPods),
	}
	return &corev1.Node{
		ObjectMeta: metav1.ObjectMeta{
			Name: config.Name,
			Labels: map[string]string{
				corev1.LabelHostname:   config.Name,
				corev1.LabelOSStable:   runtime.GOOS,
				corev1.LabelArchStable: runtime.GOARCH,
			},
		},
		Status: corev1.NodeStatus{
			Capacity:    capacity,
			Allocatable: capacity,
			Conditions: []corev1.NodeCondition{{
				Type: corev1.NodeReady, Status: corev1.ConditionTrue,
				Reason: "Serving", Message: "processes of this machine stand for containers",
				LastHeartbeatTime: now, LastTransitionTime: now,
			}},
			Addresses: []corev1.NodeAddress{
				{Type: corev1.NodeInternalIP, Address: "127.0.0.1"},
				{Type: corev1.NodeHostName, Address: config.Name},
			},
			DaemonEndpoints: corev1.NodeDaemonEndpoints{
				KubeletEndpoint: corev1.DaemonEndpoint{Port: int32(config.Port)},
			},
			NodeInfo: corev1.NodeSystemInfo{
				OperatingSystem:         runtime.GOOS,
				Architecture:            runtime.GOARCH,
				KubeletVersion:          "v0.0.0-testcluster",
				ContainerRuntimeVersion: "processes://1",
			},
		},
	}
}

// stayAlive renews the node's lease and its condition. No controller would
// declare it dead here, but clients look at both.
func stayAlive(ctx context.Context, client kubernetes.Interface, config Config) {
	for {
		if err := renewLease(ctx, client, config.Name); err != nil {
			klog.InfoS("Lease is not renewed", "err", err)
		}
		if !pause(ctx, heartbeat) {
			return
		}
		if err := createOrUpdate(ctx, client, config); err != nil {
			klog.InfoS("Node status is not renewed", "err", err)
		}
	}
}

func renewLease(ctx context.Context, client kubernetes.Interface, name string) error {
	leases := client.CoordinationV1().Leases(corev1.NamespaceNodeLease)
	now, seconds := metav1.NowMicro(), leaseSeconds
	lease, err := leases.Get(ctx, name, metav1.GetOptions{})
	if err == nil {
		lease.Spec.RenewTime = &now
		_, err = leases.Update(ctx, lease, metav1.UpdateOptions{})
		return err
	}
	if !apierrors.IsNotFound(err) {
		return err
	}
	_, err = leases.Create(ctx, &coordinationv1.Lease{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec: coordinationv1.LeaseSpec{
			HolderIdentity: &name, LeaseDurationSeconds: &seconds, RenewTime: &now,
		},
	}, metav1.CreateOptions{})
	return err
}
