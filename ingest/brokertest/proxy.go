package brokertest

import (
	"net"
	"sync"
	"time"
)

// Proxy stands between a client and a server and can be as bad as a network.
type Proxy struct {
	Address string // host:port, for clients

	listener        net.Listener
	network, target string

	mu      sync.Mutex
	changed chan struct{} // closed when what follows changed
	stalled bool
	delay   time.Duration
	rate    int // bytes a second; 0: as many as come
	pairs   map[*pair]bool
}

// pair is a client's connection and that to the server.
type pair struct{ client, server net.Conn }

// NewProxy forwards what comes at a free port of the host, an address, to the target of a network: tcp or unix.
func NewProxy(t T, host, network, target string) *Proxy {
	t.Helper()
	l, err := net.Listen("tcp", net.JoinHostPort(host, "0"))
	if err != nil {
		t.Fatal(err)
	}
	p := &Proxy{
		Address: l.Addr().String(), listener: l, network: network, target: target, changed: make(chan struct{}),
		pairs: map[*pair]bool{},
	}
	go p.accept()
	t.Cleanup(func() {
		l.Close()
		p.Stall(false)
		p.Cut()
	})
	return p
}

func (p *Proxy) accept() {
	for {
		client, err := p.listener.Accept()
		if err != nil {
			return // closed
		}
		go func() {
			server, err := net.Dial(p.network, p.target)
			if err != nil {
				client.Close()
				return
			}
			c := &pair{client, server}
			p.mu.Lock()
			p.pairs[c] = true
			p.mu.Unlock()
			var both sync.WaitGroup
			both.Go(func() { p.forward(client, server) })
			both.Go(func() { p.forward(server, client) })
			both.Wait()
			p.mu.Lock()
			delete(p.pairs, c)
			p.mu.Unlock()
		}()
	}
}

// forward carries bytes one way until either end closes.
func (p *Proxy) forward(from, to net.Conn) {
	defer to.Close()
	defer from.Close()
	b := make([]byte, 32<<10)
	for {
		n, err := from.Read(b)
		if n > 0 {
			p.wait(n)
			if _, err := to.Write(b[:n]); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}

// wait lets the time pass that n bytes take.
func (p *Proxy) wait(n int) {
	p.mu.Lock()
	for p.stalled {
		changed := p.changed
		p.mu.Unlock()
		<-changed
		p.mu.Lock()
	}
	took := p.delay
	if p.rate > 0 {
		took += time.Duration(n) * time.Second / time.Duration(p.rate)
	}
	changed := p.changed
	p.mu.Unlock()
	if took > 0 {
		select {
		case <-time.After(took):
		case <-changed:
		}
	}
}

func (p *Proxy) change(do func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	do()
	close(p.changed)
	p.changed = make(chan struct{})
}

// Stall holds back all bytes, of new connections too, as a network does that drops packets.
func (p *Proxy) Stall(on bool) { p.change(func() { p.stalled = on }) }

// Slow lets each piece of up to 32 kB take a time, and each byte; zeros end that.
func (p *Proxy) Slow(delay time.Duration, bytesPerSecond int) {
	p.change(func() { p.delay, p.rate = delay, bytesPerSecond })
}

// Cut resets all connections.
func (p *Proxy) Cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for c := range p.pairs {
		for _, end := range []net.Conn{c.client, c.server} {
			if tcp, ok := end.(*net.TCPConn); ok {
				_ = tcp.SetLinger(0)
			}
			end.Close()
		}
	}
}

// Halve ends the clients' side of all connections while the server's stays open and silent until the time is over.
func (p *Proxy) Halve(lasting time.Duration) {
	p.Stall(true)
	p.mu.Lock()
	for c := range p.pairs {
		if tcp, ok := c.client.(*net.TCPConn); ok {
			_ = tcp.SetLinger(0)
		}
		_ = c.client.Close() // the end of forwarding; what was read waits, and the server hears nothing
	}
	p.mu.Unlock()
	time.Sleep(lasting)
	p.Stall(false)
}
