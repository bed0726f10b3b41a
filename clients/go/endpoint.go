package client

import (
	"context"
	"math"
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
	"google.golang.org/grpc/stats"
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
	target target
	conn   *grpc.ClientConn
	isOut  atomic.Bool
	// heard is when something came from the server last, on the clock of elapsed.
	heard atomic.Int64
	// left and ready wake the prober: the endpoint has left the rotation, a connection was made.
	left, ready chan struct{}
}

// started is the zero of the clock that counts in atomics.
var started = time.Now()

func elapsed() int64 { return int64(time.Since(started)) }

func newEndpoint(t target, tls credentials.TransportCredentials) (*endpoint, error) {
	e := &endpoint{target: t, left: make(chan struct{}, 1), ready: make(chan struct{}, 1)}
	e.heard.Store(math.MinInt64 / 2)
	creds := insecure.NewCredentials()
	if t.isTLS {
		creds = tls
	}
	// The dialer resolves the host's name, for every new connection.
	conn, err := grpc.NewClient("passthrough:///"+t.address,
		grpc.WithContextDialer(t.dial),
		grpc.WithAuthority(t.authority()),
		grpc.WithTransportCredentials(creds),
		grpc.WithStatsHandler(&listener{endpoint: e}),
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
	if err != nil {
		return nil, invalid("endpoint %q: %v", t.text, err)
	}
	e.conn = conn
	return e, nil
}

// leave takes the endpoint out of the rotation.
func (e *endpoint) leave() {
	if e.isOut.CompareAndSwap(false, true) {
		poke(e.left)
	}
}

// join puts the endpoint back into the rotation.
func (e *endpoint) join() { e.isOut.Store(false) }

// connect makes gRPC try an endpoint that is out of the rotation in earnest: a connection in its
// backoff would fail a call without a look.
func (e *endpoint) connect() {
	if e.isOut.Load() {
		e.conn.ResetConnectBackoff()
		e.conn.Connect()
	}
}

// silentFor returns how long nothing has come from the server.
func (e *endpoint) silentFor() time.Duration { return time.Duration(elapsed() - e.heard.Load()) }

// observe follows the state of the connection, until ctx ends.
func (e *endpoint) observe(ctx context.Context) {
	state := connectivity.Idle
	for e.conn.WaitForStateChange(ctx, state) {
		former := state
		state = e.conn.GetState()
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
			if e.isServing(ctx) {
				e.join()
			}
		}
	}
}

func (e *endpoint) isServing(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(ctx, silentAfter)
	defer cancel()
	health := grpc_health_v1.NewHealthClient(e.conn)
	answer, err := health.Check(ctx, &grpc_health_v1.HealthCheckRequest{}, grpc.WaitForReady(true))
	if status.Code(err) == codes.Unimplemented {
		return true // old servers of etcd, which answer, and so are there
	}
	return err == nil && answer.Status == grpc_health_v1.HealthCheckResponse_SERVING
}

// listener notes what gRPC sends and receives.
type listener struct{ endpoint *endpoint }

// sending is in the context of a call: whether the call may have reached the server.
type sending struct{ sent atomic.Bool }

type sendingKey struct{}

func (l *listener) HandleRPC(ctx context.Context, s stats.RPCStats) {
	switch s.(type) {
	case *stats.Begin:
		// gRPC attempts a call again by itself only if the server is known not to have seen it.
		if call, ok := ctx.Value(sendingKey{}).(*sending); ok {
			call.sent.Store(false)
		}
	case *stats.OutHeader:
		if call, ok := ctx.Value(sendingKey{}).(*sending); ok {
			call.sent.Store(true)
		}
	case *stats.InHeader, *stats.InPayload, *stats.InTrailer:
		l.endpoint.heard.Store(elapsed())
	}
}

func (l *listener) TagRPC(ctx context.Context, _ *stats.RPCTagInfo) context.Context   { return ctx }
func (l *listener) TagConn(ctx context.Context, _ *stats.ConnTagInfo) context.Context { return ctx }
func (l *listener) HandleConn(context.Context, stats.ConnStats)                       {}

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
