package kafka

import (
	"context"
	"fmt"
	"os"
	"strings"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/sasl"
	"github.com/twmb/franz-go/pkg/sasl/oauth"
)

// bearer is OAUTHBEARER with the token that a file holds at the time.
func bearer(file string) sasl.Mechanism {
	return refusing{oauth.Oauth(func(context.Context) (oauth.Auth, error) {
		token, err := os.ReadFile(file)
		if err != nil {
			return oauth.Auth{}, err
		}
		return oauth.Auth{Token: strings.TrimSpace(string(token))}, nil
	})}
}

// refusing says of a token that the brokers refuse what it is: the library has no error for it.
type refusing struct{ sasl.Mechanism }

// Authenticate begins the exchange.
func (m refusing) Authenticate(ctx context.Context, host string) (sasl.Session, []byte, error) {
	s, first, err := m.Mechanism.Authenticate(ctx, host)
	return refused{s}, first, err
}

type refused struct{ sasl.Session }

// Challenge goes on with it.
func (s refused) Challenge(answer []byte) (bool, []byte, error) {
	done, next, err := s.Session.Challenge(answer)
	if err != nil {
		err = fmt.Errorf("%w: %w", kerr.SaslAuthenticationFailed, err)
	}
	return done, next, err
}
