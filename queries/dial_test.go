package queries

import (
	"net"
	"syscall"
	"testing"
)

// A connection to a server that no longer answers is given up after seconds, not hours.
func TestDial(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	conn, err := dial(t.Context(), "tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	raw, err := conn.(*net.TCPConn).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	for option, most := range map[int]int{tcpUserTimeout: 15000, syscall.TCP_KEEPIDLE: 15, syscall.TCP_KEEPINTVL: 5} {
		var got int
		var optErr error
		if err := raw.Control(
			func(fd uintptr) { got, optErr = syscall.GetsockoptInt(int(fd), syscall.IPPROTO_TCP, option) },
		); err != nil || optErr != nil {
			t.Fatal(err, optErr)
		}
		if got <= 0 || got > most {
			t.Errorf("socket option %#x is %d, want 1 to %d", option, got, most)
		}
	}
}
