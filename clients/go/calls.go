package client

import (
	"context"
	"errors"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// callOf is what the client must know of a unary call to send it.
type callOf struct {
	method          string
	isRead, isLogin bool
	// isRepeated says that the caller sends a write again if its answer is lost, so it need not wait for
	// the answer of a silent endpoint.
	isRepeated bool
	options    []grpc.CallOption
}

// errSilent cancels an attempt at an endpoint that is silent (C2).
var errSilent = errors.New("the endpoint does not answer")

// call sends a unary call until it is answered, as long as its deadline, R2 and R3 allow.
func (c *Client) call(ctx context.Context, of callOf, request, reply any) error {
	if ctx.Err() != nil {
		return timeUp(ctx, of, attempt{}, nil)
	}
	// Close waits for this call to end by its context: if it closed the connections before, the call
	// would fail for that reason.
	if !c.begin() {
		return fromContext(c.ctx)
	}
	defer c.running.Done()
	ctx, cancel := c.bounded(ctx)
	defer cancel()
	deadline, _ := ctx.Deadline()
	patience := min(silentAfter, time.Until(deadline)/2)

	var last *Error // the failure of the former attempt
	resends := 0
	for round := c.rotation.begin(); ; {
		e := round.pick()
		if e == nil {
			if !pausing(ctx, round.again(), nil) {
				return timeUp(ctx, of, attempt{}, last)
			}
			continue
		}
		for {
			token, err := c.token(ctx, of)
			if ctx.Err() != nil {
				return timeUp(ctx, of, attempt{}, last)
			}
			if err != nil {
				return err
			}
			a := c.attempt(ctx, e, of, token, patience, request, reply)
			if a.err == nil {
				e.join()
				return nil
			}
			if ctx.Err() != nil {
				return timeUp(ctx, of, a, nil)
			}
			failure, canMove := judge(of, a)
			if isRefusedToken(failure) && token != nil && resends < resendsMax {
				resends++
				c.login.forget(*token)
				continue
			}
			if !canMove {
				return failure
			}
			switch {
			case failure.Kind == KindDeadline:
				last = failure
			case failure.Name == "":
				e.leave()
				fallthrough
			default:
				last = unavailable(e, failure, a.err)
			}
			break
		}
	}
}

// unavailable is the error of a call that one endpoint has failed, and that no other one could answer.
func unavailable(e *endpoint, failure *Error, cause error) *Error {
	u := ErrUnavailable.named(failure.Name, failure.Code)
	u.cause = cause
	u.Text = e.target.text + ": " + failure.Text
	return u
}

// token returns the token to send with a call: nil without a user.
func (c *Client) token(ctx context.Context, of callOf) (*string, error) {
	if c.login == nil || of.isLogin {
		return nil, nil
	}
	token, err := c.login.get(ctx)
	return &token, err
}

// attempt is what came of sending a call to one endpoint.
type attempt struct {
	err error
	// sent says that the server may have seen the call.
	sent bool
	// isSilent says that the attempt was given up because the endpoint is silent.
	isSilent bool
}

func (c *Client) attempt(ctx context.Context, e *endpoint, of callOf, token *string, patience time.Duration, request, reply any) attempt {
	e.connect()
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	state := &sending{}
	if f, ok := ctx.Value(fateKey{}).(*fate); ok {
		f.attempt.Store(state)
	}
	conn := e.acquire()
	defer conn.release()
	move := func() {
		// A write that was sent cannot go elsewhere: its answer may still come.
		if of.isRead || of.isRepeated || !state.sent.Load() {
			cancel(errSilent)
		}
	}
	defer conn.watchSilence(patience, move)()
	if e.isOut.Load() {
		// A probe may replace this connection, which is probably silent. Then the call moves to the new one.
		defer context.AfterFunc(conn.retired, move)()
	}
	tagged := withToken(context.WithValue(ctx, sendingKey{}, state), token)
	err := conn.Invoke(tagged, of.method, request, reply, of.options...)
	return attempt{err: err, sent: state.sent.Load(), isSilent: context.Cause(ctx) == errSilent}
}

// watchSilence takes the endpoint out of the rotation and calls then, if nothing comes on its connection for
// patience, counted from now. The returned function ends that.
func (c *connection) watchSilence(patience time.Duration, then func()) (stop func()) {
	var mu sync.Mutex
	isOver := false
	var timer *time.Timer
	mu.Lock() // the timer may fire before it is assigned
	defer mu.Unlock()
	timer = time.AfterFunc(patience, func() {
		mu.Lock()
		defer mu.Unlock()
		if isOver {
			return
		}
		if silent := c.silentFor(); silent < patience {
			timer.Reset(patience - silent)
			return
		}
		c.endpoint.leaveSilent(c)
		then()
	})
	return func() {
		mu.Lock()
		defer mu.Unlock()
		isOver = true
		// Calls are much shorter than patience. Without this, a timer and what it refers to would outlive each.
		timer.Stop()
	}
}

// judge says what a failed attempt means for the call, and whether the call may go to another
// endpoint: a read if its endpoint is unavailable or silent, a write if it was not executed.
func judge(of callOf, a attempt) (failure *Error, canMove bool) {
	if a.isSilent {
		if a.sent && !of.isRead {
			return ErrMaybeHappened.because(a.err, "%v", errSilent), false
		}
		return ErrUnavailable.because(a.err, "%v", errSilent), true
	}
	failure = fromStatus(a.err, !of.isRead)
	code := status.Code(a.err)
	switch {
	case code == codes.DeadlineExceeded, code == codes.Canceled:
		// The server counts the deadline, too, and may be first. Or it gives calls up as it ends.
		return lateError(of, a, a.err).named(failure.Name, code), of.isRead
	case failure.Name != "" && of.isRead:
		return failure, failure.Retry || failure.Code == codes.Unavailable
	case failure.Name != "":
		return failure, isNotExecuted(failure)
	case !a.sent && failure.Kind == KindMaybe:
		return ErrUnavailable.because(a.err, "%s", status.Convert(a.err).Message()), code == codes.Unavailable
	}
	return failure, of.isRead && code == codes.Unavailable
}

// timeUp is the error of a call whose context has ended during an attempt, or between attempts, the
// last of which failed with last.
func timeUp(ctx context.Context, of callOf, a attempt, last *Error) *Error {
	end := fromContext(ctx)
	isSentWrite := a.sent && !of.isRead
	switch {
	case end.Kind == KindDeadline && last != nil:
		return last
	case end.Kind == KindDeadline:
		return lateError(of, a, ctx.Err())
	case end.Kind == KindSessionLost && isSentWrite:
		// A lost session means that nothing has happened (R4), which is not so here.
		return ErrMaybeHappened.because(end, "%s", end.Text)
	}
	end.Maybe = isSentWrite
	return end
}

// lateError is the error of a call that was not answered in time.
func lateError(of callOf, a attempt, cause error) *Error {
	switch {
	case of.isRead:
		return ErrDeadline.because(cause, "")
	case a.sent:
		return ErrMaybeHappened.because(cause, "not answered in time")
	}
	return ErrUnavailable.because(cause, "it could not be sent in time")
}
