package jobs

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"syscall"
	"time"
)

// Networks are those within the organisation to which files may be sent nevertheless.
type Networks []netip.Prefix

// ErrInternal says that an address is not one of the public network.
var ErrInternal = errors.New("lies in a private network; an operator can allow it with --allow-internal")

// special are networks that nothing is sent to, beside those that netip knows as private, local or multicast.
var special = []netip.Prefix{
	netip.MustParsePrefix("0.0.0.0/8"), netip.MustParsePrefix("100.64.0.0/10"), netip.MustParsePrefix("192.0.0.0/24"), netip.MustParsePrefix("198.18.0.0/15"),
	netip.MustParsePrefix("240.0.0.0/4"), netip.MustParsePrefix("64:ff9b::/96"), netip.MustParsePrefix("64:ff9b:1::/48"), netip.MustParsePrefix("2002::/16"), netip.MustParsePrefix("2001::/32"),
}

// Allows tells whether something may be sent to an address.
func (n Networks) Allows(a netip.Addr) bool {
	a = a.Unmap().WithZone("")
	for _, p := range n {
		if p.Contains(a) {
			return true
		}
	}
	if !a.IsValid() || a.IsLoopback() || a.IsPrivate() || a.IsLinkLocalUnicast() || a.IsMulticast() || a.IsUnspecified() {
		return false
	}
	for _, p := range special {
		if p.Contains(a) {
			return false
		}
	}
	return true
}

// sendTimeout bounds one delivery.
const sendTimeout = 10 * time.Minute

// transport connects to public addresses and those allowed, whatever a name stands for at that moment. It follows no redirects
// and asks no proxy, which might do so for it.
func (n Networks) transport() *http.Transport {
	dialer := &net.Dialer{Timeout: 15 * time.Second, Control: func(_, address string, _ syscall.RawConn) error {
		host, err := netip.ParseAddrPort(address)
		if err != nil {
			return err
		}
		if !n.Allows(host.Addr()) {
			return fmt.Errorf("%s %w", host.Addr(), ErrInternal)
		}
		return nil
	}}
	return &http.Transport{
		DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			return dialer.DialContext(ctx, network, address)
		},
		TLSHandshakeTimeout: 15 * time.Second, ResponseHeaderTimeout: sendTimeout, DisableKeepAlives: true, ForceAttemptHTTP2: true,
	}
}

// client sends once.
func (n Networks) client() *http.Client {
	return &http.Client{Transport: n.transport(), Timeout: sendTimeout, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
}
