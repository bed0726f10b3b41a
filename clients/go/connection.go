package client

import (
	"context"
	"math"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/stats"
)

// connection is one of an endpoint: the present one, or a retired one, which was silent when a probe made another.
// Answers to the calls that a retired connection has may still come, so it is closed when they have ended.
type connection struct {
	*grpc.ClientConn
	endpoint *endpoint
	// heard is when something came from the server last, on the clock of elapsed.
	heard atomic.Int64
	// calls counts those on the connection.
	calls atomic.Int64
	// retired ends when the connection is retired.
	retired context.Context
	retire  context.CancelFunc
}

// started is the zero of the clock that counts in atomics.
var started = time.Now()

func elapsed() int64 { return int64(time.Since(started)) }

func newConnection(e *endpoint) *connection {
	c := &connection{endpoint: e}
	c.heard.Store(math.MinInt64 / 2)
	c.retired, c.retire = context.WithCancel(context.Background())
	return c
}

// silentFor returns how long nothing has come from the server.
func (c *connection) silentFor() time.Duration { return time.Duration(elapsed() - c.heard.Load()) }

// release notes that a call has ended.
func (c *connection) release() {
	if c.calls.Add(-1) == 0 && c.retired.Err() != nil {
		go c.endpoint.close(c) // gRPC may be about to call back
	}
}

// listener notes what gRPC sends and receives on a connection.
type listener struct{ connection *connection }

// sending is in the context of a call: whether the call may have reached the server.
type sending struct{ sent atomic.Bool }

type sendingKey struct{}

func (l *listener) HandleRPC(ctx context.Context, s stats.RPCStats) {
	switch s.(type) {
	case *stats.Begin:
		l.connection.calls.Add(1)
		// gRPC attempts a call again by itself only if the server is known not to have seen it.
		if call, ok := ctx.Value(sendingKey{}).(*sending); ok {
			call.sent.Store(false)
		}
	case *stats.End:
		l.connection.release()
	case *stats.OutHeader:
		if call, ok := ctx.Value(sendingKey{}).(*sending); ok {
			call.sent.Store(true)
		}
	case *stats.InHeader, *stats.InPayload, *stats.InTrailer:
		l.connection.heard.Store(elapsed())
	}
}

func (l *listener) TagRPC(ctx context.Context, _ *stats.RPCTagInfo) context.Context   { return ctx }
func (l *listener) TagConn(ctx context.Context, _ *stats.ConnTagInfo) context.Context { return ctx }
func (l *listener) HandleConn(context.Context, stats.ConnStats)                       {}
