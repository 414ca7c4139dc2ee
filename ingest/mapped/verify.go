package mapped

import (
	"crypto/hmac"
	"crypto/sha1" //nolint:gosec // as some platforms sign; HMAC with it is sound
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"hash"
	"net/http"
	"strings"
)

// Needs tells whether a webhook is taken with a secret alone.
func (v Verify) Needs() bool { return v.HMAC != nil || v.Bearer || v.Basic || v.Header != "" }

// Holds tells whether a request shows that it comes from who knows the secret. Without anything asked for it does.
func (v Verify) Holds(secret string, header http.Header, body []byte) bool {
	switch {
	case !v.Needs():
		return true
	case secret == "":
		return false
	case v.HMAC != nil:
		return v.HMAC.holds(secret, header, body)
	case v.Header != "":
		return subtle.ConstantTimeCompare([]byte(header.Get(v.Header)), []byte(secret)) == 1
	}
	r := http.Request{Header: header}
	if v.Basic {
		if _, password, ok := r.BasicAuth(); ok {
			return subtle.ConstantTimeCompare([]byte(password), []byte(secret)) == 1
		}
	}
	if scheme, told, _ := strings.Cut(header.Get("Authorization"), " "); v.Bearer && strings.EqualFold(scheme, "Bearer") {
		return subtle.ConstantTimeCompare([]byte(strings.TrimSpace(told)), []byte(secret)) == 1
	}
	return false
}

func (h *HMAC) holds(secret string, header http.Header, body []byte) bool {
	of := sha256.New
	if h.Algorithm == "sha1" {
		of = sha1.New
	}
	told, ok := strings.CutPrefix(strings.TrimSpace(header.Get(h.Header)), h.Prefix)
	if !ok {
		return false
	}
	signature, err := hex.DecodeString(told)
	if err != nil {
		return false
	}
	mac := hmac.New(func() hash.Hash { return of() }, []byte(secret))
	for i, part := range strings.Split(h.payload(), "{body}") {
		if i > 0 {
			mac.Write(body)
		}
		mac.Write([]byte(strings.ReplaceAll(part, "{ts}", header.Get(h.TimestampHeader))))
	}
	return hmac.Equal(mac.Sum(nil), signature)
}

func (h *HMAC) payload() string {
	if h.Payload == "" {
		return "{body}"
	}
	return h.Payload
}
