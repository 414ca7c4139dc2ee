package secret_test

import (
	"bytes"
	"errors"
	"testing"

	"turnwise/secret"
)

func TestBox(t *testing.T) {
	t.Parallel()
	key, err := secret.FileKey(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	a, err := secret.NewBox(key)
	if err != nil {
		t.Fatal(err)
	}
	b, err := secret.NewBox("another key of enough length")
	if err != nil {
		t.Fatal(err)
	}
	sealed, err := a.Seal("hunter2", "smtp.example.org:587")
	if err != nil || bytes.Contains(sealed, []byte("hunter2")) {
		t.Fatalf("%q, %v", sealed, err)
	}
	if got, err := a.Open(sealed, "smtp.example.org:587"); err != nil || got != "hunter2" {
		t.Errorf("%q, %v", got, err)
	}
	for name, open := range map[string]func() (string, error){
		"another host": func() (string, error) { return a.Open(sealed, "evil.example.org:587") },
		"another key":  func() (string, error) { return b.Open(sealed, "smtp.example.org:587") },
		"a changed byte": func() (string, error) {
			return a.Open(append(bytes.Clone(sealed[:len(sealed)-1]), sealed[len(sealed)-1]^1), "smtp.example.org:587")
		},
		"too few": func() (string, error) { return a.Open(sealed[:5], "smtp.example.org:587") },
	} {
		if got, err := open(); !errors.Is(err, secret.ErrClosed) || got != "" {
			t.Errorf("%s: %q, %v", name, got, err)
		}
	}
	var none *secret.Box
	if _, err := none.Seal("x", ""); !errors.Is(err, secret.ErrNoKey) {
		t.Error(err)
	}
	if _, err := secret.NewBox("short"); err == nil {
		t.Error("a short key is taken")
	}
}
