package client

import (
	"context"
	"io"
	"time"

	"conclave.dev/client/api"
)

// suspicion is how long a broken stream may take to be replaced and confirmed, and how much longer than
// a third of the TTL a confirmation may be away, before the session is SUSPENDED.
const suspicion = time.Second

// keeper keeps the lease of a session alive. It is one goroutine, which owns all of the state below,
// and a second one for each stream, which opens it and receives.
type keeper struct {
	session *Session
	third   time.Duration

	round  *round
	stream *keepStream
	// sent is when the keep-alive on its way was sent; zero if there is none.
	sent time.Time
	// next is when the next keep-alive or the next stream is due.
	next time.Time
	// late is when an opening stream, or a keep-alive on its way, is late; zero if there is none.
	late time.Time
	// suspectAt is when the session is SUSPENDED unless something is confirmed.
	suspectAt time.Time
}

// keepStream is a stream of keep-alives at one endpoint.
type keepStream struct {
	endpoint *endpoint
	cancel   context.CancelFunc
	events   chan keepEvent
	client   api.Lease_LeaseKeepAliveClient // nil until it is open
	token    *string
}

// keepEvent is one thing that happened to a stream: it was opened, an answer came, or it ended.
type keepEvent struct {
	opened api.Lease_LeaseKeepAliveClient
	answer *api.LeaseKeepAliveResponse
	err    error
}

func newKeeper(s *Session, granted time.Time) *keeper {
	third := s.ttl / 3
	return &keeper{
		session: s, third: third, round: s.client.rotation.begin(),
		next: granted.Add(third), suspectAt: time.Now().Add(third + suspicion),
	}
}

func (k *keeper) run(ctx context.Context) {
	defer close(k.session.ended)
	defer k.session.client.drop(k.session)
	timer := time.NewTimer(0)
	defer timer.Stop()
	// Open at once: a stream that is there can be seen to break.
	k.open(ctx)
	for {
		var events chan keepEvent
		if k.stream != nil {
			events = k.stream.events
		}
		timer.Reset(time.Until(k.wakeAt()))
		select {
		case <-ctx.Done():
		case <-timer.C:
		case event := <-events:
			// The clock comes first: an answer that waited while the process was stopped is too late.
			k.session.check()
			if ctx.Err() == nil {
				k.handle(event)
			}
		}
		k.session.check()
		if ctx.Err() != nil {
			k.drop()
			return
		}
		k.due(ctx, time.Now())
	}
}

// wakeAt returns when something is due next.
func (k *keeper) wakeAt() time.Time {
	at := k.session.lossTime()
	for _, t := range []time.Time{k.next, k.late, k.suspectAt} {
		if !t.IsZero() && t.Before(at) {
			at = t
		}
	}
	return at
}

// due does what the time has come for.
func (k *keeper) due(ctx context.Context, now time.Time) {
	if !k.suspectAt.IsZero() && !now.Before(k.suspectAt) {
		k.suspectAt = time.Time{}
		k.session.suspect()
	}
	if !k.late.IsZero() && !now.Before(k.late) {
		k.fail(now)
	}
	if k.next.IsZero() || now.Before(k.next) {
		return
	}
	switch {
	case k.stream == nil:
		k.open(ctx)
	case k.stream.client != nil && k.sent.IsZero():
		k.send(now)
	}
}

// open begins a stream at the next endpoint, or schedules that after a pause.
func (k *keeper) open(ctx context.Context) {
	now := time.Now()
	e := k.round.pick()
	if e == nil {
		k.next = now.Add(k.round.again())
		return
	}
	ctx, cancel := context.WithCancel(ctx)
	k.stream = &keepStream{endpoint: e, cancel: cancel, events: make(chan keepEvent)}
	k.next, k.late = time.Time{}, now.Add(k.third)
	stream := k.stream
	client := k.session.client
	if !client.spawn(func(context.Context) { stream.receive(ctx, client) }) {
		cancel()
	}
}

// receive opens the stream and passes on what comes, until it ends.
func (s *keepStream) receive(ctx context.Context, c *Client) {
	pass := func(event keepEvent) bool {
		select {
		case s.events <- event:
			return true
		case <-ctx.Done():
			return false
		}
	}
	token, err := c.token(ctx, callOf{})
	if err != nil {
		pass(keepEvent{err: err})
		return
	}
	s.token = token
	s.endpoint.connect()
	client, err := api.NewLeaseClient(s.endpoint).LeaseKeepAlive(withToken(ctx, token))
	if err != nil {
		pass(keepEvent{err: err})
		return
	}
	if !pass(keepEvent{opened: client}) {
		return
	}
	for {
		answer, err := client.Recv()
		if !pass(keepEvent{answer: answer, err: err}) || err != nil {
			return
		}
	}
}

// send sends a keep-alive.
func (k *keeper) send(now time.Time) {
	k.sent, k.late, k.next = now, now.Add(k.third), now.Add(k.third)
	if err := k.stream.client.Send(&api.LeaseKeepAliveRequest{ID: k.session.lease}); err != nil && err != io.EOF {
		k.fail(now) // io.EOF means that the receiver has the reason
	}
}

func (k *keeper) handle(event keepEvent) {
	now := time.Now()
	switch {
	case event.err != nil:
		k.failed(now, event.err)
	case event.opened != nil:
		k.stream.client = event.opened
		k.send(now)
	case k.sent.IsZero(): // an answer to nothing
	case event.answer.TTL <= 0:
		k.session.end(ErrSessionLost.because(nil, "the server has expired the lease"))
	default:
		k.session.confirmed(k.sent, time.Duration(event.answer.TTL)*time.Second)
		k.stream.endpoint.join()
		k.sent, k.late = time.Time{}, time.Time{}
		k.suspectAt = now.Add(k.third + suspicion)
		k.round = k.session.client.rotation.beginAfter(k.stream.endpoint)
	}
}

// failed judges the end of a stream.
func (k *keeper) failed(now time.Time, err error) {
	failure, ok := err.(*Error)
	if !ok {
		failure = fromStatus(err, false)
	}
	if failure.Name == ErrLeaseNotFound.Name {
		k.session.end(ErrSessionLost.because(err, "the server does not know the lease"))
		return
	}
	if isRefusedToken(failure) && k.stream.token != nil {
		k.session.client.login.forget(*k.stream.token)
	} else if failure.Kind == KindUnavailable && failure.Name == "" && err != io.EOF {
		k.stream.endpoint.leave()
	}
	k.fail(now)
}

// fail gives up the stream; the next one is due at once.
func (k *keeper) fail(now time.Time) {
	k.drop()
	k.next = now
	if at := now.Add(suspicion); !k.suspectAt.IsZero() && at.Before(k.suspectAt) {
		k.suspectAt = at
	}
}

func (k *keeper) drop() {
	if k.stream != nil {
		k.stream.cancel()
	}
	k.stream, k.sent, k.late = nil, time.Time{}, time.Time{}
}
