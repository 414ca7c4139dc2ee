// Package secret keeps what must not be read: passwords and tokens of others, sealed before they are stored.
package secret

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// Box seals and opens with one key. A nil box has no key: it can do neither.
type Box struct{ aead cipher.AEAD }

// ErrNoKey says that the server has no key.
var ErrNoKey = errors.New(
	"secrets cannot be kept: start the server with TURNWISE_SECRET_KEY, a text of at least 16 characters",
)

// ErrClosed says that what was sealed cannot be opened: with another key, or for another place.
var ErrClosed = errors.New(
	"a stored secret cannot be read: the key, or what it belongs to, has changed; enter the secret again",
)

// minKey is how many characters a key has at least.
const minKey = 16

// NewBox returns the box of a key, a text that is hard to guess; nil for "".
func NewBox(key string) (*Box, error) {
	if key == "" {
		return nil, nil
	}
	if len(key) < minKey {
		return nil, fmt.Errorf("the secret key has fewer than %d characters", minKey)
	}
	sum := sha256.Sum256([]byte("turnwise secrets\x00" + key))
	block, err := aes.NewCipher(sum[:])
	if err != nil {
		return nil, err
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		return nil, err
	}
	return &Box{aead}, nil
}

// FileKey returns the key in a file of that name, which it makes when there is none.
func FileKey(dir string) (string, error) {
	name := filepath.Join(dir, "secret.key")
	b, err := os.ReadFile(name)
	if errors.Is(err, os.ErrNotExist) {
		b = []byte(rand.Text() + "\n")
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return "", err
		}
		f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
		if errors.Is(err, os.ErrExist) { // another process was quicker
			return FileKey(dir)
		}
		if err != nil {
			return "", err
		}
		_, err = f.Write(b)
		return strings.TrimSpace(string(b)), errors.Join(err, f.Close())
	}
	return strings.TrimSpace(string(b)), err
}

// Seal closes a text, for the place that belongs to it, such as a host: only with the same place it opens again.
// Nothing is sealed as nothing.
func (b *Box) Seal(text, place string) ([]byte, error) {
	if text == "" {
		return nil, nil
	}
	if b == nil {
		return nil, ErrNoKey
	}
	nonce := make([]byte, b.aead.NonceSize(), b.aead.NonceSize()+len(text)+b.aead.Overhead())
	if _, err := rand.Read(nonce); err != nil {
		return nil, err
	}
	return b.aead.Seal(nonce, nonce, []byte(text), []byte(place)), nil
}

// Open opens what Seal closed for the place.
func (b *Box) Open(sealed []byte, place string) (string, error) {
	if len(sealed) == 0 {
		return "", nil
	}
	if b == nil {
		return "", ErrNoKey
	}
	n := b.aead.NonceSize()
	if len(sealed) < n {
		return "", ErrClosed
	}
	text, err := b.aead.Open(nil, sealed[:n], sealed[n:], []byte(place))
	if err != nil {
		return "", ErrClosed
	}
	return string(text), nil
}
