package jobs

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/minio/minio-go/v7"

	"turnwise/metric"
)

// Networks are those within the organisation to which files may be sent nevertheless.
type Networks []netip.Prefix

// ErrInternal says that an address is not one of the public network.
var ErrInternal = errors.New("leads to a private network; an operator can allow it with --allow-internal")

// special are networks that nothing is sent to, beside those that netip knows as private, local or multicast.
var special = []netip.Prefix{
	netip.MustParsePrefix("0.0.0.0/8"), netip.MustParsePrefix("100.64.0.0/10"), netip.MustParsePrefix("192.0.0.0/24"),
	netip.MustParsePrefix("198.18.0.0/15"),
	netip.MustParsePrefix("240.0.0.0/4"), netip.MustParsePrefix("64:ff9b::/96"),
	netip.MustParsePrefix("64:ff9b:1::/48"), netip.MustParsePrefix("2002::/16"), netip.MustParsePrefix("2001::/32"),
}

// Allows tells whether something may be sent to an address.
func (n Networks) Allows(a netip.Addr) bool {
	a = a.Unmap().WithZone("")
	for _, p := range n {
		if p.Contains(a) {
			return true
		}
	}
	if !a.IsValid() || a.IsLoopback() || a.IsPrivate() || a.IsLinkLocalUnicast() || a.IsMulticast() ||
		a.IsUnspecified() {
		return false
	}
	for _, p := range special {
		if p.Contains(a) {
			return false
		}
	}
	return true
}

// hexNumber is a number as some programs read one that is to be an address.
var hexNumber = regexp.MustCompile(`^0x[0-9a-f.x]*$`)

// Admits tells, before a place is kept to which files shall be sent, whether nothing ever will be: it is private, or no
// place at all. The address counts that is connected to; this only says so in time. What cannot be looked up now is let
// pass.
func (n Networks) Admits(ctx context.Context, u *url.URL) error {
	host := strings.ToLower(strings.TrimSuffix(u.Hostname(), "."))
	if port := u.Port(); port != "" {
		if p, err := strconv.Atoi(port); err != nil || p < 1 || p > 65535 {
			return fmt.Errorf("has no port from 1 to 65535")
		}
	}
	var found []netip.Addr
	if a, err := netip.ParseAddr(host); err == nil {
		found = append(found, a)
	} else if !strings.ContainsFunc(
		host, func(c rune) bool { return (c < '0' || c > '9') && c != '.' },
	) || hexNumber.MatchString(host) {
		return errors.New("is a number that is no address") // some programs would make one of it
	} else if host == "localhost" || strings.HasSuffix(host, ".localhost") {
		found = append(found, netip.IPv6Loopback())
	} else {
		ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
		defer cancel()
		found, _ = net.DefaultResolver.LookupNetIP(ctx, "ip", host)
	}
	for _, a := range found {
		if n.Allows(a) {
			return nil
		}
	}
	if len(found) > 0 {
		return ErrInternal
	}
	return nil
}

// sendTimeout bounds one delivery. Within it the other side may take nothing for as long as silence is, and answer as
// late as answerWait after it took something last.
const (
	sendTimeout = 10 * time.Minute
	silence     = time.Minute
	answerWait  = 5 * time.Minute
)

// patient ends a connection on which nothing moves.
type patient struct{ net.Conn }

func (c patient) Read(b []byte) (int, error) {
	_ = c.SetReadDeadline(time.Now().Add(answerWait)) // a connection that is closed says so when it is read
	return c.Conn.Read(b)
}

func (c patient) Write(b []byte) (int, error) {
	now := time.Now()
	_ = c.SetWriteDeadline(now.Add(silence))
	_ = c.SetReadDeadline(now.Add(answerWait)) // somebody waits for the answer already, and has time again
	return c.Conn.Write(b)
}

// unreachable says why a place was not reached, in words that tell nothing of what lies within the organisation: no
// addresses, no servers of names. What another try does not mend is an *metric.InputError.
func unreachable(err error) error {
	var name *net.DNSError
	var timeout net.Error
	var input *metric.InputError
	var certificate *tls.CertificateVerificationError
	var response minio.ErrorResponse
	switch {
	case err == nil, errors.As(err, &input):
		return err
	case errors.Is(err, ErrInternal):
		return &metric.InputError{Field: "address", Msg: ErrInternal.Error()}
	case errors.As(err, &name):
		return errors.New("the server's name is not known")
	case errors.As(err, &certificate):
		return errors.New("the server's certificate is not valid, or not for this name")
	case errors.Is(err, syscall.ECONNREFUSED):
		return errors.New("the server refuses connections")
	case errors.As(err, &timeout) && timeout.Timeout(), errors.Is(err, context.DeadlineExceeded):
		return errors.New("the server did not answer in time")
	case errors.As(err, &response):
		return fmt.Errorf("the bucket's server answered %s", cmp.Or(response.Code, response.Message))
	case errors.Is(err, context.Canceled):
		return err
	}
	return errors.New("the connection to the server broke off")
}

// transport connects to public addresses and those allowed, whatever a name stands for at that moment. It follows no
// redirects and asks no proxy, which might do so for it.
func (n Networks) transport() *http.Transport {
	dialer := &net.Dialer{Timeout: 15 * time.Second, Control: func(_, address string, _ syscall.RawConn) error {
		host, err := netip.ParseAddrPort(address)
		if err != nil {
			return err
		}
		if !n.Allows(host.Addr()) {
			return ErrInternal
		}
		return nil
	}}
	return &http.Transport{
		DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			conn, err := dialer.DialContext(ctx, network, address)
			if err != nil {
				return nil, err
			}
			return patient{conn}, nil
		},
		TLSHandshakeTimeout: 15 * time.Second, DisableKeepAlives: true, ForceAttemptHTTP2: true,
	}
}

// client sends once.
func (n Networks) client() *http.Client {
	return &http.Client{
		Transport: n.transport(), Timeout: sendTimeout,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}
