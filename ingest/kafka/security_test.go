package kafka_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"

	"turnwise/ingest/kafka"
)

// certificate makes one for 127.0.0.1 that signs itself, and the file that trusts it.
func certificate(t *testing.T) (pair tls.Certificate, file string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "broker"}, NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true,
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	file = filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, file
}

// Each way to prove who we are works, and what is wrong with the others is said in plain words.
func TestSecurity(t *testing.T) {
	t.Parallel()
	pair, ca := certificate(t)
	_, other := certificate(t)
	encrypted := cluster(t, kfake.TLS(&tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12}), kfake.EnableSASL(),
		kfake.Superuser("PLAIN", "ann", "plain"), kfake.Superuser("SCRAM-SHA-256", "bob", "scram256"), kfake.Superuser("SCRAM-SHA-512", "cid", "scram512"))
	for _, tt := range []struct {
		name string
		cfg  kafka.Config
		want string // of the error
	}{
		{"plain", kafka.Config{Protocol: "SASL_SSL", CAFile: ca, Username: "ann", Password: "plain"}, ""},
		{"scram 256", kafka.Config{Protocol: "SASL_SSL", CAFile: ca, Mechanism: "SCRAM-SHA-256", Username: "bob", Password: "scram256"}, ""},
		{"scram 512", kafka.Config{Protocol: "sasl_ssl", CAFile: ca, Mechanism: "scram-sha-512", Username: "cid", Password: "scram512"}, ""},
		{"a wrong password", kafka.Config{Protocol: "SASL_SSL", CAFile: ca, Username: "ann", Password: "secret-guess"}, "refuse"}, // kfake just hangs up
		{"a wrong certificate", kafka.Config{Protocol: "SASL_SSL", CAFile: other, Username: "ann", Password: "plain"}, "certificate"},
		{"no TLS", kafka.Config{Protocol: "SASL_PLAINTEXT", Username: "ann", Password: "plain"}, "another security_protocol"},
		{"no certificate to trust", kafka.Config{Protocol: "SASL_SSL", Username: "ann", Password: "plain"}, "certificate"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			tt.cfg.Brokers = encrypted.ListenAddrs()
			positions, err := consumer(t, tt.cfg).Positions(t.Context())
			switch {
			case tt.want == "" && (err != nil || len(positions) != 3):
				t.Errorf("%v, %v", positions, err)
			case tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "secret-guess")):
				t.Errorf("%v; want %q", err, tt.want)
			}
		})
	}
}
