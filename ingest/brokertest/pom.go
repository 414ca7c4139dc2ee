package brokertest

import (
	_ "embed"
	"os"
	"path/filepath"
)

// version of Apache Kafka.
const version = "4.1.0"

//go:embed kafka-pom.xml
var pom []byte

// pomFile writes Maven's list of what to fetch where Maven may read it.
func pomFile() (string, error) {
	dir := filepath.Join(os.TempDir(), "turnwise-kafka-"+version)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", err
	}
	file := filepath.Join(dir, "pom.xml")
	return file, os.WriteFile(file, pom, 0o600)
}
