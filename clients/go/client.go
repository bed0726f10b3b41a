package client

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"google.golang.org/grpc"
)

// Client is a client of one cluster.
type Client struct {
	rotation *rotation
	login    *login // nil without a user
	timeout  time.Duration
	logger   *slog.Logger

	// ctx ends when the client is closed, with ErrClosed as its cause.
	ctx    context.Context
	cancel context.CancelCauseFunc

	mu       sync.Mutex
	isClosed bool
	sessions map[*Session]struct{}
	running  sync.WaitGroup
	ended    chan struct{}
}

// New returns a client. It does not connect; connections are made when they are needed. An endpoint
// of a wrong form, or a TLS file that cannot be used, is an error of KindInvalid, which names it.
func New(o Options) (*Client, error) {
	if len(o.Endpoints) == 0 {
		return nil, invalid("there are no endpoints: set Options.Endpoints")
	}
	if o.Timeout < 0 {
		return nil, invalid("the timeout %v is negative", o.Timeout)
	}
	if o.User == "" && o.Password != "" {
		return nil, invalid("there is a password without a user: set Options.User")
	}
	var creds *reloading
	if o.TLS != nil {
		var err error
		if creds, err = newReloading(*o.TLS); err != nil {
			return nil, err
		}
	}
	c := &Client{
		rotation: &rotation{},
		timeout:  o.Timeout,
		logger:   o.Logger,
		sessions: map[*Session]struct{}{},
		ended:    make(chan struct{}),
	}
	if c.timeout == 0 {
		c.timeout = DefaultTimeout
	}
	if c.logger == nil {
		c.logger = slog.Default()
	}
	targets := make([]target, len(o.Endpoints))
	for i, text := range o.Endpoints {
		var err error
		if targets[i], err = parseTarget(text, creds != nil); err != nil {
			return nil, err
		}
	}
	for _, t := range targets {
		e, err := newEndpoint(t, creds)
		if err != nil {
			c.closeConnections()
			return nil, err
		}
		c.rotation.endpoints = append(c.rotation.endpoints, e)
	}
	c.ctx, c.cancel = context.WithCancelCause(context.Background())
	if o.User != "" {
		c.login = &login{client: c, user: o.User, password: o.Password}
	}
	for _, e := range c.rotation.endpoints {
		c.spawn(e.probe)
	}
	return c, nil
}

// Close ends everything that the client began (R7): first its sessions, whose leases are revoked
// within the client's timeout, then calls, watches and connections. It can be called again.
func (c *Client) Close() error {
	c.mu.Lock()
	if c.isClosed {
		c.mu.Unlock()
		<-c.ended
		return nil
	}
	c.isClosed = true
	sessions := make([]*Session, 0, len(c.sessions))
	for s := range c.sessions {
		sessions = append(sessions, s)
	}
	c.mu.Unlock()

	ctx, cancel := context.WithTimeout(context.Background(), c.timeout)
	defer cancel()
	var closing sync.WaitGroup
	for _, s := range sessions {
		closing.Go(func() { _ = s.Close(ctx) }) // a lease that cannot be revoked expires
	}
	closing.Wait()
	c.mu.Lock() // so that nothing begins that Wait does not see
	c.cancel(closed("client"))
	c.mu.Unlock()
	c.running.Wait()
	c.closeConnections()
	close(c.ended)
	return nil
}

func (c *Client) closeConnections() {
	for _, e := range c.rotation.endpoints {
		e.closeAll()
	}
}

// begin makes Close wait until running.Done is called. It returns false if the client is closed.
func (c *Client) begin() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ctx.Err() != nil {
		return false
	}
	c.running.Add(1)
	return true
}

// spawn runs f in a goroutine that Close waits for. It returns false if the client is closed.
func (c *Client) spawn(f func(ctx context.Context)) bool {
	if !c.begin() {
		return false
	}
	go func() {
		defer c.running.Done()
		f(c.ctx)
	}()
	return true
}

// drop forgets a session that is over.
func (c *Client) drop(s *Session) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.sessions, s)
}

// join returns a context that ends with ctx and with the client.
func (c *Client) join(ctx context.Context) (context.Context, context.CancelFunc) {
	return joinContexts(ctx, c.ctx)
}

// joinContexts returns a context with the values of ctx that ends with either.
func joinContexts(ctx, other context.Context) (context.Context, context.CancelFunc) {
	joined, cancel := context.WithCancelCause(ctx)
	if other.Err() != nil {
		cancel(context.Cause(other)) // at once, and not in the goroutine of AfterFunc
	}
	stop := context.AfterFunc(other, func() { cancel(context.Cause(other)) })
	return joined, func() {
		stop()
		cancel(nil)
	}
}

// bounded is join with the client's timeout, if ctx has no deadline (R1).
func (c *Client) bounded(ctx context.Context) (context.Context, context.CancelFunc) {
	joined, leave := c.join(ctx)
	if _, has := ctx.Deadline(); has {
		return joined, leave
	}
	timed, cancel := context.WithTimeout(joined, c.timeout)
	return timed, func() {
		cancel()
		leave()
	}
}

// Conn returns what a generated stub needs, for the calls that have no method here:
//
//	members, err := api.NewClusterClient(c.Conn()).MemberList(ctx, &api.MemberListRequest{})
//
// Unary calls go by the same rules as the client's own. A stream is opened at one endpoint, with the
// client's token, and its errors are gRPC's.
func (c *Client) Conn() grpc.ClientConnInterface { return conn{c} }
