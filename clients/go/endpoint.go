package client

import (
	"context"
	"maps"
	"math"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/connectivity"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/status"
)

const (
	// silentAfter is how long an endpoint may leave a call unanswered, or a connection unmade (C2).
	silentAfter = 2 * time.Second
	// Pauses between the probes of an endpoint that is out of the rotation.
	probePauseMin = 100 * time.Millisecond
	probePauseMax = 5 * time.Second
	// HTTP/2 pings (C3). gRPC allows no shorter interval.
	pingAfter   = 10 * time.Second
	pingTimeout = 3 * time.Second
)

// endpoint is one server: its connection, and whether it is in the rotation.
//
//	      connection fails or breaks, or a call is unanswered
//	in ───────────────────────────────────────────────────────▶ out
//	   ◀───────────────────────────────────────────────────────
//	               a probe or a call is answered
type endpoint struct {
	target  target
	tls     credentials.TransportCredentials
	present atomic.Pointer[connection]
	isOut   atomic.Bool
	// silent is the connection that was silent last, and renewals counts those that were replaced.
	silent   atomic.Pointer[connection]
	renewals atomic.Int64
	// left and ready wake the prober: the endpoint has left the rotation, a connection was made.
	left, ready chan struct{}

	mu   sync.Mutex
	open map[*connection]struct{} // the present one, and retired ones that have calls
}

func newEndpoint(t target, tls credentials.TransportCredentials) (*endpoint, error) {
	e := &endpoint{
		target: t, tls: tls, left: make(chan struct{}, 1), ready: make(chan struct{}, 1),
		open: map[*connection]struct{}{},
	}
	c, err := e.dial()
	if err != nil {
		return nil, invalid("endpoint %q: %v", t.text, err)
	}
	e.open[c] = struct{}{}
	e.present.Store(c)
	return e, nil
}

// dial returns a new connection, which connects when it is used.
func (e *endpoint) dial() (*connection, error) {
	c, t := newConnection(e), e.target
	creds := insecure.NewCredentials()
	if t.isTLS {
		creds = e.tls
	}
	// The dialer resolves the host's name, for every new connection.
	conn, err := grpc.NewClient("passthrough:///"+t.address,
		grpc.WithContextDialer(t.dial),
		grpc.WithAuthority(t.authority()),
		grpc.WithTransportCredentials(creds),
		grpc.WithStatsHandler(&listener{connection: c}),
		grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: pingAfter, Timeout: pingTimeout}),
		grpc.WithConnectParams(grpc.ConnectParams{
			Backoff:           backoff.Config{BaseDelay: probePauseMin, Multiplier: 2, Jitter: 0.1, MaxDelay: probePauseMax},
			MinConnectTimeout: silentAfter,
		}),
		grpc.WithIdleTimeout(0), // an idle connection would look like a broken one
		grpc.WithDisableServiceConfig(),
		grpc.WithDisableRetry(), // calls are sent again by our own rules (R2, R3)
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(math.MaxInt32)),
	)
	c.ClientConn = conn
	return c, err
}

// connection returns the present connection.
func (e *endpoint) connection() *connection { return e.present.Load() }

// acquire returns the present connection, which stays open until it is released.
func (e *endpoint) acquire() *connection {
	for {
		c := e.connection()
		if c.calls.Add(1); c.retired.Err() == nil {
			return c
		}
		c.release()
	}
}

// close closes a connection.
func (e *endpoint) close(c *connection) {
	e.mu.Lock()
	delete(e.open, c)
	e.mu.Unlock()
	_ = c.Close()
}

// closeAll closes all connections.
func (e *endpoint) closeAll() {
	e.mu.Lock()
	all := slices.Collect(maps.Keys(e.open))
	e.mu.Unlock()
	for _, c := range all {
		e.close(c)
	}
}

// Invoke implements grpc.ClientConnInterface.
func (e *endpoint) Invoke(ctx context.Context, method string, request, reply any, options ...grpc.CallOption) error {
	c := e.acquire()
	defer c.release()
	return c.Invoke(ctx, method, request, reply, options...)
}

// NewStream implements grpc.ClientConnInterface.
func (e *endpoint) NewStream(ctx context.Context, desc *grpc.StreamDesc, method string, options ...grpc.CallOption) (grpc.ClientStream, error) {
	c := e.acquire()
	defer c.release() // the stream counts for itself
	return c.NewStream(ctx, desc, method, options...)
}

// leave takes the endpoint out of the rotation.
func (e *endpoint) leave() {
	if e.isOut.CompareAndSwap(false, true) {
		poke(e.left)
	}
}

// leaveSilent is leave because of a connection that is silent.
func (e *endpoint) leaveSilent(c *connection) {
	if e.connection() == c {
		e.silent.Store(c)
		e.leave()
	}
}

// join puts the endpoint back into the rotation.
func (e *endpoint) join() {
	e.silent.Store(nil)
	e.isOut.Store(false)
}

// connect makes gRPC try an endpoint that is out of the rotation in earnest: a connection in its
// backoff would fail a call without a look.
func (e *endpoint) connect() {
	if e.isOut.Load() {
		c := e.connection()
		c.ResetConnectBackoff()
		c.Connect()
	}
}

// observe follows the state of a connection, until another is made or ctx ends.
func (e *endpoint) observe(ctx context.Context, c *connection) {
	state := connectivity.Idle
	for c.WaitForStateChange(ctx, state) && e.connection() == c {
		former := state
		state = c.GetState()
		switch {
		case state == connectivity.Ready:
			poke(e.ready)
		case state == connectivity.TransientFailure, former == connectivity.Ready:
			e.leave()
		}
	}
}

// probe brings the endpoint back into the rotation whenever it has left, until ctx ends.
func (e *endpoint) probe(ctx context.Context) {
	var observing sync.WaitGroup
	defer observing.Wait()
	observing.Go(func() { e.observe(ctx, e.connection()) })
	for {
		select {
		case <-ctx.Done():
			return
		case <-e.left:
		}
		select {
		case <-e.ready: // of the connection that is broken now
		default:
		}
		for pause := probePauseMin; e.isOut.Load(); pause = min(2*pause, probePauseMax) {
			// The connection is asked for now, so that its success ends the pause.
			e.connect()
			if !pausing(ctx, pause, e.ready) {
				return
			}
			c := e.connection()
			if silent := e.silent.Load(); c == silent && c.GetState() == connectivity.Ready {
				// What was sent may be lost on its way, for minutes. A new connection may work.
				if fresh := e.renew(ctx, c); fresh != nil {
					observing.Go(func() { e.observe(ctx, fresh) })
				}
			} else if isServing(ctx, c) {
				e.join()
			}
		}
	}
}

// renew probes a silent connection, and a new one beside it. If a server answers on the new one alone, the other one is
// retired, and the new one returned; otherwise nil.
func (e *endpoint) renew(ctx context.Context, old *connection) *connection {
	fresh, err := e.dial()
	if err != nil {
		return nil
	}
	began := elapsed()
	ctx, cancel := context.WithCancel(ctx)
	var probing sync.WaitGroup
	var isOldServing bool
	probing.Go(func() {
		if isOldServing = isServing(ctx, old); isOldServing {
			cancel()
		}
	})
	isFreshServing := isServing(ctx, fresh) && old.heard.Load() < began
	if isFreshServing {
		cancel()
	}
	probing.Wait()
	cancel()
	if !isFreshServing {
		_ = fresh.Close()
		if isOldServing {
			e.join()
		}
		return nil
	}
	e.mu.Lock()
	e.open[fresh] = struct{}{}
	e.mu.Unlock()
	e.present.Store(fresh)
	e.renewals.Add(1)
	e.join()         // before the calls on the old one look for another endpoint
	old.calls.Add(1) // so that it is closed by release, whether it has calls or not
	old.retire()
	old.release()
	return fresh
}

func isServing(ctx context.Context, c *connection) bool {
	ctx, cancel := context.WithTimeout(ctx, silentAfter)
	defer cancel()
	health := grpc_health_v1.NewHealthClient(c)
	answer, err := health.Check(ctx, &grpc_health_v1.HealthCheckRequest{}, grpc.WaitForReady(true))
	if status.Code(err) == codes.Unimplemented {
		return true // old servers of etcd, which answer, and so are there
	}
	return err == nil && answer.Status == grpc_health_v1.HealthCheckResponse_SERVING
}

// poke wakes the receiver of a channel with room for one.
func poke(c chan<- struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// pausing waits, or less if wake has something. It returns false if ctx ended.
func pausing(ctx context.Context, pause time.Duration, wake <-chan struct{}) bool {
	timer := time.NewTimer(pause)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
	case <-wake:
	}
	return true
}
