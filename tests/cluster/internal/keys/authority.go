// Package keys makes the certificates and keys of a cluster which lives as long
// as a test. ECDSA P-256 throughout: making one takes well under a millisecond,
// and RSA would be most of the time a cluster needs to come up.
package keys

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"net"
	"time"
)

const (
	// lifetime is that of every certificate: longer than a demo left open.
	lifetime = 30 * 24 * time.Hour
	// clockSkew lets a certificate be used by a clock which is a little behind.
	clockSkew = 5 * time.Minute
)

// Authority signs certificates.
type Authority struct {
	certificate *x509.Certificate
	key         *ecdsa.PrivateKey
}

// Subject says for whom a certificate is.
type Subject struct {
	CommonName string
	// Organizations are the groups of a Kubernetes user.
	Organizations []string
	// DNSNames and IPs make it a server's certificate; without them it is a
	// client's.
	DNSNames []string
	IPs      []net.IP
}

// NewAuthority makes a self-signed authority.
func NewAuthority(commonName string) (*Authority, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	template := newTemplate(commonName)
	template.IsCA = true
	template.BasicConstraintsValid = true
	template.KeyUsage = x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, err
	}
	certificate, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, err
	}
	return &Authority{certificate: certificate, key: key}, nil
}

// PEM is the authority's certificate.
func (a *Authority) PEM() []byte { return certificatePEM(a.certificate.Raw) }

// Issue makes a key and a certificate for subject.
func (a *Authority) Issue(subject Subject) (*Pair, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	template := newTemplate(subject.CommonName)
	template.Subject.Organization = subject.Organizations
	template.DNSNames = subject.DNSNames
	template.IPAddresses = subject.IPs
	template.KeyUsage = x509.KeyUsageDigitalSignature
	template.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
	if len(subject.DNSNames)+len(subject.IPs) > 0 {
		template.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.certificate, key.Public(), a.key)
	if err != nil {
		return nil, err
	}
	return newPair(der, key)
}

func newTemplate(commonName string) *x509.Certificate {
	now := time.Now()
	return &x509.Certificate{
		// Random and not counted, so that two clusters on one machine never
		// share issuer name and serial number.
		SerialNumber: randomSerial(),
		Subject:      pkix.Name{CommonName: commonName},
		NotBefore:    now.Add(-clockSkew),
		NotAfter:     now.Add(lifetime),
	}
}

func randomSerial() *big.Int {
	var bytes [16]byte
	_, _ = rand.Read(bytes[:]) // crypto/rand.Read never fails
	bytes[0] &= 0x7f           // a serial number is positive
	return new(big.Int).SetBytes(bytes[:])
}
