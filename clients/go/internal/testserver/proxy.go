package testserver

import (
	"net"
	"sync"
	"testing"
)

// Proxy is between a client and a member, and can fail.
type Proxy struct {
	// Address is for clients.
	Address string

	listener net.Listener
	target   string

	mu          sync.Mutex
	connections map[net.Conn]struct{}
	isSilent    bool
	stalled     int // how many connections are silent for ever
	resumed     *sync.Cond
	isClosed    bool
	accepted    int
}

// StartProxy starts a proxy to an address.
func StartProxy(t testing.TB, target string) *Proxy {
	t.Helper()
	return StartProxyAt(t, "tcp", "127.0.0.1:0", target)
}

// StartProxyAt starts a proxy that listens at an address.
func StartProxyAt(t testing.TB, network, address, target string) *Proxy {
	t.Helper()
	l, err := net.Listen(network, address)
	if err != nil {
		t.Fatal(err)
	}
	p := &Proxy{Address: l.Addr().String(), listener: l, target: target, connections: map[net.Conn]struct{}{}}
	p.resumed = sync.NewCond(&p.mu)
	var serving sync.WaitGroup
	serving.Go(func() { p.serve(&serving) })
	t.Cleanup(func() {
		p.mu.Lock()
		p.isClosed = true
		p.resumed.Broadcast()
		p.mu.Unlock()
		_ = l.Close()
		p.Cut()
		serving.Wait()
	})
	return p
}

func (p *Proxy) serve(serving *sync.WaitGroup) {
	for {
		client, err := p.listener.Accept()
		if err != nil {
			return
		}
		server, err := net.Dial("tcp", p.target)
		if err != nil {
			_ = client.Close()
			continue
		}
		p.mu.Lock()
		p.accepted++
		number := p.accepted
		p.connections[client], p.connections[server] = struct{}{}, struct{}{}
		p.mu.Unlock()
		serving.Go(func() { p.copy(client, server, number) })
		serving.Go(func() { p.copy(server, client, number) })
	}
}

func (p *Proxy) copy(to, from net.Conn, number int) {
	defer to.Close()
	defer from.Close()
	buffer := make([]byte, 1<<16)
	for {
		n, err := from.Read(buffer)
		p.mu.Lock()
		for (p.isSilent || number <= p.stalled) && !p.isClosed {
			p.resumed.Wait()
		}
		p.mu.Unlock()
		if _, writeErr := to.Write(buffer[:n]); err != nil || writeErr != nil {
			return
		}
	}
}

// Silence makes the proxy hold back everything, until Resume.
func (p *Proxy) Silence() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.isSilent = true
}

// Stall makes the proxy hold back everything on the connections that there are. New ones are served.
func (p *Proxy) Stall() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.stalled = p.accepted
}

// Resume lets everything pass that was held back.
func (p *Proxy) Resume() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.isSilent = false
	p.resumed.Broadcast()
}

// Cut breaks all connections.
func (p *Proxy) Cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for c := range p.connections {
		_ = c.Close()
		delete(p.connections, c)
	}
}

// Accepted returns how many connections were made.
func (p *Proxy) Accepted() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.accepted
}
