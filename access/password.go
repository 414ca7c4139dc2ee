package access

import (
	_ "embed"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/alexedwards/argon2id"

	"turnwise/metric"
)

// passwordParams follow OWASP's advice for argon2id: 19 MiB, two passes, one lane.
var passwordParams = &argon2id.Params{Memory: 19 * 1024, Iterations: 2, Parallelism: 1, SaltLength: 16, KeyLength: 32}

// HashPassword returns the form in which a password is stored.
func HashPassword(password string) (string, error) {
	return argon2id.CreateHash(password, passwordParams)
}

// The bounds of passwords: characters and bytes.
const (
	shortestPassword = 12
	longestPassword  = 1024
)

//go:embed passwords.txt
var commonPasswords string

// common are passwords that everybody tries first.
var common = func() map[string]bool {
	all := map[string]bool{}
	for line := range strings.Lines(commonPasswords) {
		all[strings.TrimSuffix(line, "\n")] = true
	}
	return all
}()

// CheckPassword returns an *metric.InputError for a password that is too short, too long or easily guessed: a common
// one, also with something before or after it, one that repeats itself, or one of the user's own words. There are no
// other rules.
func CheckPassword(password, email, name string) error {
	if n := utf8.RuneCountInString(password); n < shortestPassword || len(password) > longestPassword {
		return &metric.InputError{
			Field: "password",
			Msg:   fmt.Sprintf("has at least %d characters and at most %d bytes", shortestPassword, longestPassword),
		}
	}
	low := strings.ToLower(password)
	bare := strings.TrimFunc(low, func(c rune) bool { return !unicode.IsLetter(c) })
	local, _, _ := strings.Cut(strings.ToLower(email), "@")
	for _, own := range append(strings.Fields(strings.ToLower(name)), strings.ToLower(email), local, "turnwise") {
		if utf8.RuneCountInString(own) >= 4 && utf8.RuneCountInString(strings.ReplaceAll(low, own, "")) < 8 {
			return &metric.InputError{
				Field: "password",
				Msg: "is hardly more than a name that others know; take several words that have nothing to do " +
					"with each other",
			}
		}
	}
	if common[low] || common[bare] || repeats(low) || counts(low) {
		return &metric.InputError{
			Field: "password",
			Msg:   "is one of the first that are guessed; take several words that have nothing to do with each other",
		}
	}
	return nil
}

// repeats tells whether a text is a shorter one of at most six bytes, again and again.
func repeats(s string) bool {
	for n := 1; n <= 6 && 2*n <= len(s); n++ {
		if strings.HasPrefix(strings.Repeat(s[:n], len(s)/n+1), s) {
			return true
		}
	}
	return false
}

// counts tells whether each character is the next after, or before, the one before it, as in 0123456789.
func counts(s string) bool {
	up, down := 0, 0
	for i := 1; i < len(s); i++ {
		switch int(s[i]) - int(s[i-1]) {
		case 1, -9:
			up++
		case -1, 9:
			down++
		}
	}
	return max(up, down) >= len(s)-2
}
