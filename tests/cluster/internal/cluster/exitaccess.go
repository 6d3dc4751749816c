package cluster

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
)

const (
	exitNamespace = "gangplank-system"
	// exitRole is not what an installation's own would be called, which tests install beside it.
	exitRole = "testcluster-exit"
	// tokenLifetime is that of a token in a real pod.
	tokenLifetime = time.Hour
	// tokenRenewal leaves a quarter of the lifetime for failed attempts.
	tokenRenewal = 45 * time.Minute
	// tokenRetry spaces the attempts while the API server is down.
	tokenRetry = 10 * time.Second
)

// grantExitAccess makes the two identities with which a Gangplank exit may call
// the API server, a certificate's user and a service account, and allows them
// to impersonate users: not groups, not extra fields, nothing besides.
func grantExitAccess(ctx context.Context, client kubernetes.Interface) error {
	named := metav1.ObjectMeta{Name: exitRole}
	role := &rbacv1.ClusterRole{
		ObjectMeta: named,
		Rules: []rbacv1.PolicyRule{{
			APIGroups: []string{""}, Resources: []string{"users"}, Verbs: []string{"impersonate"},
		}},
	}
	binding := &rbacv1.ClusterRoleBinding{
		ObjectMeta: named,
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: exitRole},
		Subjects: []rbacv1.Subject{
			{APIGroup: rbacv1.GroupName, Kind: rbacv1.UserKind, Name: exitUser},
			{Kind: rbacv1.ServiceAccountKind, Namespace: exitNamespace, Name: exitUser},
		},
	}
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: exitNamespace}}
	account := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: exitUser}}

	create := metav1.CreateOptions{}
	if _, err := client.RbacV1().ClusterRoles().Create(ctx, role, create); err != nil {
		return fmt.Errorf("create the role of the exit: %w", err)
	}
	if _, err := client.RbacV1().ClusterRoleBindings().Create(ctx, binding, create); err != nil {
		return fmt.Errorf("bind the role of the exit: %w", err)
	}
	if _, err := client.CoreV1().Namespaces().Create(ctx, namespace, create); err != nil {
		return fmt.Errorf("create the namespace of the exit: %w", err)
	}
	if _, err := client.CoreV1().ServiceAccounts(exitNamespace).Create(ctx, account, create); err != nil {
		return fmt.Errorf("create the service account of the exit: %w", err)
	}
	return nil
}

// writeExitToken asks for a token and replaces the token file in one step.
func writeExitToken(ctx context.Context, client kubernetes.Interface, file string) error {
	seconds := int64(tokenLifetime / time.Second)
	answer, err := client.CoreV1().ServiceAccounts(exitNamespace).CreateToken(ctx, exitUser,
		&authenticationv1.TokenRequest{
			Spec: authenticationv1.TokenRequestSpec{ExpirationSeconds: &seconds},
		}, metav1.CreateOptions{})
	if err != nil {
		return fmt.Errorf("request a token for the exit: %w", err)
	}
	temporary := filepath.Join(filepath.Dir(file), "."+filepath.Base(file))
	if err := os.WriteFile(temporary, []byte(answer.Status.Token), 0o600); err != nil {
		return err
	}
	return os.Rename(temporary, file)
}

// renewExitToken keeps the token file valid for as long as the cluster is up.
func renewExitToken(ctx context.Context, client kubernetes.Interface, file string) {
	wait := tokenRenewal
	for {
		select {
		case <-ctx.Done():
			return
		case <-time.After(wait):
		}
		wait = tokenRenewal
		if err := writeExitToken(ctx, client, file); err != nil {
			wait = tokenRetry
		}
	}
}
