// Command x509 says what Go's crypto/x509, and so kube-apiserver, makes of certificate chains: a second
// opinion for the tests of pki. It reads cases from standard input until its end and answers each with a
// line: "accepted" with the common name and each path's anchor and last second, or "refused" and why.
//
// A case is the time in seconds, eight bytes, then the anchors and then the chain, leaf first: each a
// count and as many certificates, each its length and its DER. Counts and lengths have four bytes. All
// integers are big endian.
package main

import (
	"bufio"
	"crypto/x509"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"
)

// Most bytes of a certificate: far above what the tests send.
const mostBytes = 1 << 20

func main() {
	in, out := bufio.NewReader(os.Stdin), bufio.NewWriter(os.Stdout)
	for {
		line, err := judge(in)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, "x509:", err)
			os.Exit(1)
		}
		fmt.Fprintln(out, line)
	}
	if err := out.Flush(); err != nil {
		os.Exit(1)
	}
}

func judge(in io.Reader) (string, error) {
	var seconds uint64
	if err := binary.Read(in, binary.BigEndian, &seconds); err != nil {
		return "", err
	}
	anchors, err := readCertificates(in)
	if err != nil {
		return "", fmt.Errorf("anchors: %w", err)
	}
	chain, err := readCertificates(in)
	if err != nil {
		return "", fmt.Errorf("chain: %w", err)
	}
	return verdict(anchors, chain, time.Unix(int64(seconds), 0)), nil
}

// readCertificates reads a list of certificates as they were sent.
func readCertificates(in io.Reader) ([][]byte, error) {
	var count uint32
	if err := binary.Read(in, binary.BigEndian, &count); err != nil {
		return nil, unexpected(err)
	}
	var list [][]byte
	for range count {
		var length uint32
		if err := binary.Read(in, binary.BigEndian, &length); err != nil {
			return nil, unexpected(err)
		}
		if length > mostBytes {
			return nil, fmt.Errorf("a certificate of %d bytes", length)
		}
		der := make([]byte, length)
		if _, err := io.ReadFull(in, der); err != nil {
			return nil, unexpected(err)
		}
		list = append(list, der)
	}
	return list, nil
}

func unexpected(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

func verdict(anchors, chain [][]byte, now time.Time) string {
	options := x509.VerifyOptions{
		Roots:         x509.NewCertPool(),
		Intermediates: x509.NewCertPool(),
		CurrentTime:   now,
		KeyUsages:     []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
	positions := map[string]int{}
	for position, der := range anchors {
		anchor, err := x509.ParseCertificate(der)
		if err != nil {
			continue // as kube-apiserver's loader, which takes the others
		}
		options.Roots.AddCert(anchor)
		positions[string(der)] = position
	}
	var parsed []*x509.Certificate
	for _, der := range chain {
		certificate, err := x509.ParseCertificate(der)
		if err != nil {
			return "refused unreadable " + err.Error() // as crypto/tls, which reads all of them
		}
		parsed = append(parsed, certificate)
	}
	for _, intermediate := range parsed[1:] {
		options.Intermediates.AddCert(intermediate)
	}
	paths, err := parsed[0].Verify(options)
	if err != nil {
		return "refused " + reason(err)
	}
	var line strings.Builder
	fmt.Fprintf(&line, "accepted %x", parsed[0].Subject.CommonName)
	for _, path := range paths {
		until := path[0].NotAfter
		for _, certificate := range path {
			if certificate.NotAfter.Before(until) {
				until = certificate.NotAfter
			}
		}
		fmt.Fprintf(&line, " %d:%d", positions[string(path[len(path)-1].Raw)], until.Unix())
	}
	return line.String()
}

func reason(err error) string {
	var invalid x509.CertificateInvalidError
	if errors.As(err, &invalid) {
		names := map[x509.InvalidReason]string{
			x509.NotAuthorizedToSign:           "NotAuthorizedToSign",
			x509.Expired:                       "Expired",
			x509.CANotAuthorizedForThisName:    "CANotAuthorizedForThisName",
			x509.TooManyIntermediates:          "TooManyIntermediates",
			x509.IncompatibleUsage:             "IncompatibleUsage",
			x509.NameConstraintsWithoutSANs:    "NameConstraintsWithoutSANs",
			x509.UnconstrainedName:             "UnconstrainedName",
			x509.TooManyConstraints:            "TooManyConstraints",
			x509.CANotAuthorizedForExtKeyUsage: "CANotAuthorizedForExtKeyUsage",
		}
		return names[invalid.Reason]
	}
	var unhandled x509.UnhandledCriticalExtension
	if errors.As(err, &unhandled) {
		return "UnhandledCriticalExtension"
	}
	var unknown x509.UnknownAuthorityError
	if errors.As(err, &unknown) {
		return "UnknownAuthority"
	}
	return "other " + err.Error()
}
