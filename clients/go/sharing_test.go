package client

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/connectivity"

	"conclave.dev/client/api"
	"conclave.dev/client/internal/testserver"
)

// mute is a server that receives calls and answers none.
type mute struct {
	api.UnimplementedKVServer
	api.UnimplementedAuthServer
	address  string
	server   *grpc.Server
	received chan string
}

func startMute(t *testing.T) *mute {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	m := &mute{address: l.Addr().String(), server: grpc.NewServer(), received: make(chan string, 1000)}
	api.RegisterKVServer(m.server, m)
	api.RegisterAuthServer(m.server, m)
	var serving sync.WaitGroup
	serving.Go(func() { _ = m.server.Serve(l) })
	t.Cleanup(func() {
		m.server.Stop()
		serving.Wait()
	})
	return m
}

func (m *mute) hang(ctx context.Context, method string) error {
	m.received <- method
	<-ctx.Done()
	return ctx.Err()
}

func (m *mute) Range(ctx context.Context, _ *api.RangeRequest) (*api.RangeResponse, error) {
	return nil, m.hang(ctx, "range")
}

func (m *mute) Put(ctx context.Context, _ *api.PutRequest) (*api.PutResponse, error) {
	return nil, m.hang(ctx, "put")
}

func (m *mute) Txn(ctx context.Context, _ *api.TxnRequest) (*api.TxnResponse, error) {
	return nil, m.hang(ctx, "txn")
}

func (m *mute) Authenticate(ctx context.Context, _ *api.AuthenticateRequest) (*api.AuthenticateResponse, error) {
	return nil, m.hang(ctx, "authenticate")
}

// callsInFlight begins n puts and n gets, waits until the server has all of them, calls end, and returns
// their errors.
func callsInFlight(t *testing.T, ctx context.Context, c *Client, m *mute, n int, end func()) (puts, gets []*Error) {
	t.Helper()
	puts, gets = make([]*Error, n), make([]*Error, n)
	var running sync.WaitGroup
	for i := range n {
		running.Go(func() {
			_, err := c.Put(ctx, strconv.Itoa(i), "")
			errors.As(err, &puts[i])
		})
		running.Go(func() {
			_, err := c.Get(ctx, strconv.Itoa(i))
			errors.As(err, &gets[i])
		})
	}
	for range 2 * n {
		receive(t, m.received)
	}
	end()
	running.Wait()
	return puts, gets
}

func TestCallsThatEndForOneReasonSayForThemselvesWhetherTheyMayHaveHappened(t *testing.T) {
	t.Parallel()
	m := startMute(t)
	c := connect(t, Options{Endpoints: []string{m.address}, Timeout: time.Minute})
	lost := ErrSessionLost.because(nil, "why")
	for name, of := range map[string]struct {
		cause    *Error
		put, get Kind
	}{
		"closed":  {cause: closed("session").(*Error), put: KindClosed, get: KindClosed},
		"lost":    {cause: lost, put: KindMaybe, get: KindSessionLost},
		"another": {cause: ErrMaybeHappened.because(nil, "the error of another call"), put: KindCancelled, get: KindCancelled},
	} {
		before := *of.cause
		ctx, cancel := context.WithCancelCause(t.Context())
		puts, gets := callsInFlight(t, ctx, c, m, 10, func() { cancel(of.cause) })
		for i := range puts {
			if puts[i].Kind != of.put || !puts[i].Maybe || gets[i].Kind != of.get || gets[i].Maybe {
				t.Fatalf("%s: put %+v, get %+v", name, puts[i], gets[i])
			}
			if of.cause == lost && !errors.Is(puts[i], ErrSessionLost) {
				t.Fatal(puts[i])
			}
		}
		if *of.cause != before {
			t.Fatalf("%s: the shared error has changed: %+v", name, of.cause)
		}
		// Nothing is sent any more.
		if _, err := c.Put(ctx, "a", ""); mayBe(err) {
			t.Fatalf("%s: %+v", name, err)
		}
	}
}

func TestTheErrorOfASessionIsNotThatOfACall(t *testing.T) {
	t.Parallel()
	_, member := server(t)
	m := startMute(t)
	c := connect(t, Options{Endpoints: []string{m.address}, Timeout: time.Minute})
	s := open(t, connect(t, Options{Endpoints: []string{member.Address}}), 10*time.Second)
	lock := must(NewMutex(s, "m").Lock(patient(t)))(t)
	held, cancel := lock.Context(t.Context())
	defer cancel()
	var reading sync.WaitGroup
	stop := make(chan struct{})
	puts, gets := callsInFlight(t, held, c, m, 10, func() {
		s.end(ErrSessionLost.because(nil, "for a test"))
		reading.Go(func() { // for the race detector
			for !isClosedChan(stop) {
				if mayBe(s.Err()) {
					t.Error(s.Err())
					return
				}
				runtime.Gosched()
			}
		})
	})
	close(stop)
	reading.Wait()
	for i := range puts {
		if !puts[i].Maybe || gets[i].Maybe || gets[i].Kind != KindSessionLost {
			t.Fatalf("put %+v, get %+v", puts[i], gets[i])
		}
	}
	if mayBe(s.Err()) {
		t.Fatal(s.Err())
	}
}

func TestCallsInFlightAreClosedWithTheClient(t *testing.T) {
	t.Parallel()
	m := startMute(t)
	for range 10 {
		c := connect(t, Options{Endpoints: []string{m.address}, Timeout: time.Minute})
		puts, gets := callsInFlight(t, t.Context(), c, m, 50, func() { _ = c.Close() })
		for i := range puts {
			if puts[i].Kind != KindClosed || !puts[i].Maybe || gets[i].Kind != KindClosed || gets[i].Maybe {
				t.Fatalf("put %+v, get %+v", puts[i], gets[i])
			}
		}
	}
}

func TestCloseWaitsForTheEndOfCallsBeforeItClosesConnections(t *testing.T) {
	t.Parallel()
	m := startMute(t)
	c := connect(t, Options{Endpoints: []string{m.address}, Timeout: time.Minute})
	result := make(chan error, 1)
	states := make(chan connectivity.State, 1)
	go func() {
		result <- c.Conn().Invoke(t.Context(), api.KV_Put_FullMethodName, &api.PutRequest{Key: []byte("a")}, &api.PutResponse{},
			grpc.OnFinish(func(error) {
				for range 100_000 {
					runtime.Gosched() // gives Close the time to go on
				}
				states <- c.rotation.endpoints[0].connection().GetState()
			}))
	}()
	receive(t, m.received)
	_ = c.Close()
	if state := receive(t, states); state == connectivity.Shutdown {
		t.Fatal("the connection was closed before the call had ended")
	}
	if err := receive(t, result); !errors.Is(err, ErrClosed) || !mayBe(err) {
		t.Fatal(err)
	}
}

func TestALostAnswerIsNotForgottenByTheNextAttempt(t *testing.T) {
	t.Parallel()
	for _, isCancelled := range []bool{false, true} {
		m := startMute(t)
		c := connect(t, Options{Endpoints: []string{m.address}})
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		result := make(chan error, 1)
		go func() { result <- NewQueue(c, "q").Put(ctx, "item", 0, 0) }()
		receive(t, m.received)
		m.server.Stop() // later attempts have no connection
		if isCancelled {
			eventually(t, "an attempt fails", c.rotation.endpoints[0].isOut.Load)
			cancel()
		}
		err := receive(t, result)
		var e *Error
		if !errors.As(err, &e) || !e.Maybe || (e.Kind != KindMaybe && !(isCancelled && e.Kind == KindCancelled)) {
			t.Fatalf("%+v", err)
		}
	}
	for err, want := range map[*Error]Kind{
		ErrUnavailable: KindMaybe, ErrPermissionDenied: KindMaybe, ErrMaybeHappened: KindMaybe,
		ErrCancelledCall: KindCancelled, ErrClosed: KindClosed,
	} {
		var e *Error
		if !errors.As(afterLoss(err), &e) || e.Kind != want || !e.Maybe || !errors.Is(e, err) || err.Maybe != (err == ErrMaybeHappened) {
			t.Fatalf("%+v", e)
		}
	}
}

func TestAnItemThatWasReleasedWithoutAnAnswerMayBeReleased(t *testing.T) {
	t.Parallel()
	m := startMute(t)
	c := connect(t, Options{Endpoints: []string{m.address}})
	item := &Item{session: &Session{client: c}, key: "i", claim: "c"}
	result := make(chan error, 1)
	go func() {
		_, err := item.Release(within(t, time.Second))
		result <- err
	}()
	receive(t, m.received)
	m.server.Stop()
	if err := receive(t, result); !errors.Is(err, ErrMaybeHappened) || !mayBe(err) {
		t.Fatalf("%+v", err)
	}
}

func TestAWriteThatWasNotSentInTimeIsUnavailable(t *testing.T) {
	t.Parallel()
	m := startMute(t)
	c := connect(t, Options{Endpoints: []string{m.address}, User: "alice", Password: "ap"})
	past, cancel := context.WithDeadline(t.Context(), time.Now().Add(-time.Second))
	defer cancel()
	for name, ctx := range map[string]context.Context{"past": past, "login": within(t, 300*time.Millisecond)} {
		if _, err := c.Put(ctx, "a", ""); !errors.Is(err, ErrUnavailable) || mayBe(err) ||
			!errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%s: put %v", name, err)
		}
		if _, err := c.Get(ctx, "a"); !errors.Is(err, ErrDeadline) {
			t.Errorf("%s: get %v", name, err)
		}
	}
	if err := receive(t, m.received); err != "authenticate" {
		t.Fatal(err)
	}
}

func TestTheTimeOfALoginIsNotThatOfItsCalls(t *testing.T) {
	t.Parallel()
	m := startMute(t)
	c := connect(t, Options{Endpoints: []string{m.address}, User: "alice", Password: "ap"})
	c.login.run(within(t, 100*time.Millisecond), make(chan struct{}))
	if e, ok := c.login.err.(*Error); !ok || e.Kind != KindUnavailable {
		t.Fatal(c.login.err)
	}
}

func TestAListenerThatEndsItsGoroutineIsCalledAgain(t *testing.T) {
	t.Parallel()
	logged := make(lines, 10)
	c := connect(t, Options{Endpoints: []string{"127.0.0.1:1"}, Logger: slog.New(slog.NewTextHandler(logged, nil))})
	got := make(chan int, 10)
	q := newQueue(c, func(n int) {
		got <- n
		if n%2 == 1 {
			runtime.Goexit()
		}
	})
	for n := range 6 {
		q.push(n)
	}
	for want := range 6 {
		if n := receive(t, got); n != want {
			t.Fatal(n, want)
		}
	}
	for range 3 {
		if line := receive(t, logged); !strings.Contains(line, "exited its goroutine") {
			t.Fatal(line)
		}
	}
	q.push(6) // after it was idle
	receive(t, got)
}

func TestOptionsWithoutAMeaningAreRefused(t *testing.T) {
	t.Parallel()
	c := connect(t, Options{Endpoints: []string{"127.0.0.1:1"}})
	ctx := within(t, testserver.Patience)
	sort := WithSort(api.RangeRequest_KEY, api.RangeRequest_ASCEND)
	for name, of := range map[string]struct {
		option Option
		has    calls
	}{
		"prefix": {WithPrefix(), callGet | callDelete | callWatch}, "range": {WithRange("b"), callGet | callDelete | callWatch},
		"revision": {WithRevision(1), callGet | callWatch}, "serializable": {WithSerializable(), callGet},
		"limit": {WithLimit(1), callGet}, "sort": {sort, callGet}, "keys": {WithKeysOnly(), callGet},
		"count": {WithCountOnly(), callGet}, "lease": {WithLease(1), callPut},
		"previous": {WithPrevious(), callPut | callDelete | callWatch},
		"no puts":  {WithoutPuts(), callWatch}, "no deletes": {WithoutDeletes(), callWatch},
	} {
		for call, send := range map[calls]func() error{
			callGet:    func() error { _, err := c.Get(ctx, "a", of.option); return err },
			callPut:    func() error { _, err := c.Put(ctx, "a", "", of.option); return err },
			callDelete: func() error { _, err := c.Delete(ctx, "a", of.option); return err },
			callWatch:  func() error { _, err := c.Watch(ctx, "a", of.option); return err },
		} {
			if _, err := operate(call, "a", []Option{of.option}); (err == nil) != (of.has&call != 0) {
				t.Errorf("%s of a %v: %v", name, call, err)
			}
			if of.has&call == 0 {
				if err := send(); !errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), call.String()) {
					t.Errorf("%s of a %v: %v", name, call, err)
				}
			}
		}
	}
	fails := map[string]error{}
	_, fails["put everything"] = c.Put(ctx, "", "", WithPrefix())
	_, fails["two ranges"] = c.Delete(ctx, "a", WithPrefix(), WithRange("c"))
	_, fails["a prefix twice"] = c.Get(ctx, "", WithPrefix(), WithPrefix())
	_, fails["no end"] = c.Delete(ctx, "a", WithRange(""))
	_, fails["nothing to watch"] = c.Watch(ctx, "a", WithoutPuts(), WithoutDeletes())
	_, fails["put in a transaction"] = c.Txn().Then(OpPut("", "", WithPrefix())).Commit(ctx)
	_, fails["else"] = c.Txn().Else(OpDelete("a", WithLimit(1))).Commit(ctx)
	_, fails["get in a transaction"] = c.Txn().Then(OpGet("a"), OpGet("a", WithLimit(-1))).Commit(ctx)
	for name, err := range fails {
		if !errors.Is(err, ErrInvalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
