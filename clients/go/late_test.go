package client

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"conclave.dev/client/api"
	"conclave.dev/client/internal/testserver"
)

// relay is between a client and a member, and passes calls on. It holds back some transactions, as if they
// hung in a connection, and executes them when a test says so.
type relay struct {
	address string
	member  *grpc.ClientConn
	server  *grpc.Server

	watches      atomic.Int32 // that are open
	refuseRanges atomic.Bool

	mu sync.Mutex
	// onTxn is called before the next transaction that writes, once.
	onTxn func()
	// pass and hold are how many of the next transactions that write pass, and how many after them are held.
	// refuses says that those after them are refused.
	pass, hold int
	refuses    bool
	held       []*api.TxnRequest
}

// frames is a codec that leaves messages as they are.
type frames struct{}

func (frames) Marshal(v any) ([]byte, error)      { return *v.(*[]byte), nil }
func (frames) Unmarshal(data []byte, v any) error { *v.(*[]byte) = data; return nil }
func (frames) Name() string                       { return "proto" }

func startRelay(t *testing.T, member *testserver.Member) *relay {
	t.Helper()
	l := must(net.Listen("tcp", "127.0.0.1:0"))(t)
	conn := must(grpc.NewClient(member.Address, grpc.WithTransportCredentials(insecure.NewCredentials())))(t)
	r := &relay{address: l.Addr().String(), member: conn}
	r.server = grpc.NewServer(grpc.ForceServerCodec(frames{}), grpc.UnknownServiceHandler(r.serve))
	var serving sync.WaitGroup
	serving.Go(func() { _ = r.server.Serve(l) })
	t.Cleanup(func() {
		r.server.Stop()
		serving.Wait()
		_ = conn.Close()
	})
	return r
}

func (r *relay) serve(_ any, client grpc.ServerStream) error {
	method, _ := grpc.MethodFromServerStream(client)
	ctx, cancel := context.WithCancel(client.Context())
	defer cancel()
	switch {
	case method == api.KV_Range_FullMethodName && r.refuseRanges.Load():
		return status.Error(ErrPermissionDenied.Code, ErrPermissionDenied.Text)
	case method == api.Watch_Watch_FullMethodName:
		r.watches.Add(1)
		defer r.watches.Add(-1)
	}
	both := &grpc.StreamDesc{ServerStreams: true, ClientStreams: true}
	member, err := r.member.NewStream(ctx, both, method, grpc.ForceCodec(frames{}))
	if err != nil {
		return err
	}
	var sending sync.WaitGroup
	defer sending.Wait()
	defer cancel()
	var isRefused atomic.Bool
	sending.Go(func() {
		for {
			var message []byte
			if client.RecvMsg(&message) != nil {
				_ = member.CloseSend()
				return
			}
			if method == api.KV_Txn_FullMethodName {
				switch r.fateOf(message) {
				case "held":
					<-ctx.Done()
					return
				case "refused":
					isRefused.Store(true)
					cancel()
					return
				}
			}
			if member.SendMsg(&message) != nil {
				return
			}
		}
	})
	for {
		var message []byte
		if err := member.RecvMsg(&message); err != nil {
			if isRefused.Load() {
				return status.Error(ErrPermissionDenied.Code, ErrPermissionDenied.Text)
			}
			if s, ok := status.FromError(err); ok {
				return s.Err()
			}
			return nil // the end
		}
		if err := client.SendMsg(&message); err != nil {
			return err
		}
	}
}

// fateOf says what becomes of a transaction: "passed", "held" or "refused".
func (r *relay) fateOf(message []byte) string {
	request := &api.TxnRequest{}
	if err := proto.Unmarshal(message, request); err != nil || onlyReads(request) {
		return "passed"
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.onTxn != nil {
		r.onTxn()
		r.onTxn = nil
	}
	switch {
	case r.pass > 0:
		r.pass--
		return "passed"
	case r.hold > 0:
		r.hold--
		r.held = append(r.held, request)
		return "held"
	case r.refuses:
		return "refused"
	}
	return "passed"
}

// holdNext holds one transaction that writes, after some that pass.
func (r *relay) holdNext(pass int) { r.set(pass, 1) }

func (r *relay) set(pass, hold int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.pass, r.hold, r.refuses = pass, hold, false
}

// beforeTxn calls f before the next transaction that writes is passed on.
func (r *relay) beforeTxn(f func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.onTxn = f
}

// holdAndRefuse holds one transaction that writes, after some that pass, and refuses the next ones until set.
func (r *relay) holdAndRefuse(pass int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.pass, r.hold, r.refuses = pass, 1, true
}

// awaitHeld returns when n transactions are held.
func (r *relay) awaitHeld(t *testing.T, n int) {
	t.Helper()
	eventually(t, "it is held", func() bool {
		r.mu.Lock()
		defer r.mu.Unlock()
		return len(r.held) == n
	})
}

// deliver executes what is held, and returns how many of the transactions succeeded.
func (r *relay) deliver(t *testing.T) int {
	t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.held) == 0 {
		t.Fatal("nothing is held")
	}
	succeeded := 0
	for _, request := range r.held {
		if must(api.NewKVClient(r.member).Txn(patient(t), request))(t).Succeeded {
			succeeded++
		}
	}
	return succeeded
}

// relayed returns a client of a new member through a relay, a session of it, and another client without one.
func relayed(t *testing.T) (*Session, *relay, *Client) {
	t.Helper()
	c, member := server(t)
	r := startRelay(t, member)
	return open(t, connect(t, Options{Endpoints: []string{r.address}}), 60*time.Second), r, c
}

// revision returns the store's.
func revision(t *testing.T, c *Client) int64 {
	t.Helper()
	return must(c.Get(patient(t), "a"))(t).Header.Revision
}

// leaving deletes a key that was put.
type leaving func(context.Context) error

func unlocking(l *Lock, err error) (leaving, error) {
	if err != nil {
		return nil, err
	}
	return l.Unlock, nil
}

// entries are the ways to put a key with the lease of a session.
var entries = map[string]func(ctx context.Context, s *Session) (leaving, error){
	"mutex": func(ctx context.Context, s *Session) (leaving, error) {
		return unlocking(NewMutex(s, "k").Lock(ctx))
	},
	"reader": func(ctx context.Context, s *Session) (leaving, error) {
		return unlocking(NewRWLock(s, "k").RLock(ctx))
	},
	"writer": func(ctx context.Context, s *Session) (leaving, error) {
		return unlocking(NewRWLock(s, "k").Lock(ctx))
	},
	"semaphore": func(ctx context.Context, s *Session) (leaving, error) {
		return unlocking(NewSemaphore(s, "k", 2).Acquire(ctx))
	},
	"election": func(ctx context.Context, s *Session) (leaving, error) {
		l, err := NewElection(s, "k").Campaign(ctx, "v")
		if err != nil {
			return nil, err
		}
		return l.Resign, nil
	},
	"double barrier": func(ctx context.Context, s *Session) (leaving, error) {
		b := NewDoubleBarrier(s, "k", 1)
		return b.Leave, b.Enter(ctx)
	},
	"group": func(ctx context.Context, s *Session) (leaving, error) {
		m, err := NewGroup(s.Client(), "k").Join(ctx, s, "m", "v")
		if err != nil {
			return nil, err
		}
		return m.Leave, nil
	},
	"service": func(ctx context.Context, s *Session) (leaving, error) {
		m, err := NewService(s.Client(), "k").Register(ctx, s, "h:1", nil)
		if err != nil {
			return nil, err
		}
		return m.Leave, nil
	},
	"claim": func(ctx context.Context, s *Session) (leaving, error) {
		q := NewQueue(s.Client(), "q")
		item, err := q.Take(ctx, s)
		if err != nil {
			return nil, err
		}
		return func(ctx context.Context) error {
			_, err := item.Release(ctx)
			return err
		}, nil
	},
}

// prefixOf returns the prefix of the keys of an entry. For a claim it puts an item.
func prefixOf(t *testing.T, c *Client, name string) string {
	t.Helper()
	if name != "claim" {
		return "k/"
	}
	if err := NewQueue(c, "q").Put(patient(t), "item", 0, 0); err != nil {
		t.Fatal(err)
	}
	return "q/claims/"
}

func TestLateCopiesOfAPutAreDeleted(t *testing.T) {
	t.Parallel()
	for name, enter := range entries {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, r, other := relayed(t)
			prefix := prefixOf(t, other, name)
			r.holdNext(0)
			leave := must(enter(patient(t), s))(t)
			if err := leave(patient(t)); err != nil {
				t.Fatal(err)
			}
			awaitKeys(t, other, prefix, 0)
			for range 2 { // the key is watched until the session ends
				before := revision(t, other)
				if r.deliver(t) != 1 {
					t.Fatal("the copy was not executed")
				}
				awaitKeys(t, other, prefix, 0)
				if after := revision(t, other); after != before+2 {
					t.Fatal(before, after)
				}
			}
			if name == "semaphore" {
				return // which never has the same key again
			}
			// While the key is held, a copy changes nothing.
			leave = must(enter(patient(t), s))(t)
			before := revision(t, other)
			if r.deliver(t) != 0 || revision(t, other) != before {
				t.Fatal("a copy was executed")
			}
			if err := leave(patient(t)); err != nil {
				t.Fatal(err)
			}
			awaitKeys(t, other, prefix, 0)
		})
	}
}

func TestALateCopyIsNotDeletedFromUnderANewLock(t *testing.T) {
	t.Parallel()
	s, r, other := relayed(t)
	m := NewMutex(s, "m")
	r.holdNext(0)
	if err := must(m.Lock(patient(t)))(t).Unlock(patient(t)); err != nil {
		t.Fatal(err)
	}
	for range 20 {
		// The copy comes before, while or after the session locks again, which may find it.
		delivered := later(func() error { r.deliver(t); return nil })
		l := must(m.Lock(patient(t)))(t)
		receive(t, delivered)
		if kvs := must(other.Get(patient(t), l.Key()))(t).Kvs; len(kvs) != 1 || kvs[0].CreateRevision != l.Token() || !l.Held() {
			t.Fatal(kvs, l.Token(), l.Held())
		}
		if err := l.Unlock(patient(t)); err != nil {
			t.Fatal(err)
		}
	}
	awaitKeys(t, other, "m/", 0)
	// While the deletion of a copy is on its way, the session does not take the copy for its own.
	r.holdNext(0)
	r.deliver(t)
	copied := revision(t, other)
	r.awaitHeld(t, 2)
	if l := must(m.Lock(patient(t)))(t); l.Token() <= copied {
		t.Fatal(l.Token(), copied)
	}
}

func TestAKeyOfAPutThatWasGivenUpIsDeleted(t *testing.T) {
	t.Parallel()
	s, r, other := relayed(t)
	r.holdNext(0)
	if _, err := NewMutex(s, "m").Lock(within(t, time.Second)); !errors.Is(err, ErrDeadline) {
		t.Fatal(err)
	}
	// The place is given up when the attempt is.
	eventually(t, "the key is watched", func() bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		_, isWatched := s.copied["m/"+leaseName(s.lease)]
		return isWatched && len(s.places) == 0
	})
	before := revision(t, other)
	if r.deliver(t) != 1 {
		t.Fatal("the copy was not executed")
	}
	eventually(t, "put and deleted", func() bool { return revision(t, other) == before+2 })
	awaitKeys(t, other, "m/", 0)
	// Nothing that was sent for it, such as a deletion, hits a later key.
	r.set(0, 2)
	if _, err := NewMutex(s, "m").Lock(within(t, time.Second)); !errors.Is(err, ErrDeadline) {
		t.Fatal(err)
	}
	must(NewMutex(s, "m").Lock(patient(t)))(t)
	r.awaitHeld(t, 3)
	if r.deliver(t) != 0 {
		t.Fatal("a copy was executed")
	}
}

func TestALateDeletionSparesALaterKey(t *testing.T) {
	t.Parallel()
	for name, enter := range entries {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, r, other := relayed(t)
			prefix := prefixOf(t, other, name)
			leave := must(enter(patient(t), s))(t)
			r.holdNext(0)
			if err := leave(patient(t)); err != nil {
				t.Fatal(err)
			}
			must(enter(patient(t), s))(t)
			before := must(other.Get(patient(t), prefix, WithPrefix()))(t)
			if r.deliver(t) != 0 {
				t.Fatal("it was executed")
			}
			if after := must(other.Get(patient(t), prefix, WithPrefix()))(t); fmt.Sprint(after.Kvs) != fmt.Sprint(before.Kvs) {
				t.Fatal(before, after)
			}
		})
	}
}

func TestALateDeletionSparesAKeyThatWasEnteredAgain(t *testing.T) {
	t.Parallel()
	for name, enter := range entries {
		if name == "claim" || name == "semaphore" {
			continue // which never have the same key again
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, r, other := relayed(t)
			leave := must(enter(patient(t), s))(t)
			oldest := WithSort(api.RangeRequest_CREATE, api.RangeRequest_ASCEND)
			before := must(other.Get(patient(t), "k/", WithPrefix(), oldest, WithLimit(1)))(t).Kvs[0]
			r.holdAndRefuse(0)
			if err := leave(patient(t)); !errors.Is(err, ErrMaybeHappened) || !mayBe(err) {
				t.Fatal(err)
			}
			r.set(0, 0)
			leave = must(enter(patient(t), s))(t)
			if r.deliver(t) != 0 {
				t.Fatal("it was executed")
			}
			now := must(other.Get(patient(t), string(before.Key)))(t).Kvs
			if len(now) != 1 || now[0].CreateRevision != before.CreateRevision || now[0].ModRevision <= before.ModRevision {
				t.Fatal(before, now)
			}
			if err := leave(patient(t)); err != nil {
				t.Fatal(err)
			}
			awaitKeys(t, other, "k/", 0)
		})
	}
}

func TestALateDowngradeSparesAKeyThatWasEnteredAgain(t *testing.T) {
	t.Parallel()
	s, r, other := relayed(t)
	lock := NewRWLock(s, "k")
	writer := must(lock.Lock(patient(t)))(t)
	reader := must(lock.RLock(patient(t)))(t)
	r.holdAndRefuse(0)
	if err := writer.Unlock(patient(t)); !errors.Is(err, ErrMaybeHappened) {
		t.Fatal(err)
	}
	r.set(0, 0)
	if err := reader.Unlock(patient(t)); err != nil {
		t.Fatal(err)
	}
	must(lock.Lock(patient(t)))(t)
	if r.deliver(t) != 0 {
		t.Fatal("it was executed")
	}
	awaitKeys(t, other, "k/write/", 1)
}

func TestADowngradeDeletesAKeyThatHasChanged(t *testing.T) {
	t.Parallel()
	c, _ := server(t)
	lock := NewRWLock(open(t, c, 10*time.Second), "k")
	writer := must(lock.Lock(patient(t)))(t)
	must(lock.RLock(patient(t)))(t)
	if !must(AskForMutex(patient(t), c, "k/write"))(t) {
		t.Fatal("there is no owner")
	}
	if err := writer.Unlock(patient(t)); err != nil {
		t.Fatal(err)
	}
	awaitKeys(t, c, "k/write/", 0)
	awaitKeys(t, c, "k/read/", 1)
}

func TestADeletionSparesTheMemberThatJoinedAfterIt(t *testing.T) {
	t.Parallel()
	s, r, other := relayed(t)
	g, rival := NewGroup(other, "g"), open(t, other, 60*time.Second)
	members := func() string { return fmt.Sprint(must(g.Members(patient(t)))(t)) }
	// Members of one session.
	first := must(g.Join(patient(t), s, "m", "1"))(t)
	second := must(g.Join(patient(t), s, "m", "2"))(t)
	if err := first.Leave(patient(t)); err != nil || members() != "map[m:2]" {
		t.Fatal(err, members())
	}
	// Another session takes the key and gives it back, all with the same create revision.
	must(g.Join(patient(t), rival, "m", "3"))(t)
	third := must(g.Join(patient(t), s, "m", "4"))(t)
	if err := second.Set(patient(t), "5"); !errors.Is(err, ErrSessionLost) {
		t.Fatal(err)
	}
	if err := second.Leave(patient(t)); err != nil || members() != "map[m:4]" {
		t.Fatal(err, members())
	}
	// Likewise while a deletion is on its way.
	r.holdAndRefuse(0)
	if err := third.Leave(patient(t)); !mayBe(err) {
		t.Fatal(err)
	}
	r.set(0, 0)
	must(g.Join(patient(t), rival, "m", "6"))(t)
	must(g.Join(patient(t), s, "m", "4"))(t)
	if r.deliver(t) != 0 || members() != "map[m:4]" {
		t.Fatal("it was executed")
	}
}

func TestARevocationBeforeTheAnswerIsReported(t *testing.T) {
	t.Parallel()
	for name, asked := range map[string]string{"mutex": "k", "writer": "k/write", "reader": "k/read", "semaphore": "k"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, r, other := relayed(t)
			var lock *Lock
			enter := map[string]func(ctx context.Context) (*Lock, error){
				"mutex": NewMutex(s, "k").Lock, "writer": NewRWLock(s, "k").Lock, "reader": NewRWLock(s, "k").RLock,
				"semaphore": NewSemaphore(s, "k", 1).Acquire,
			}[name]
			r.holdNext(0)
			locking := later(func() (err error) { lock, err = enter(patient(t)); return err })
			r.awaitHeld(t, 1)
			r.deliver(t)
			if !must(AskForMutex(patient(t), other, asked))(t) {
				t.Fatal("there is no owner")
			}
			if err := receive(t, locking); err != nil {
				t.Fatal(err)
			}
			if !isClosedChan(lock.Revoked()) {
				t.Fatal("the owner is not asked")
			}
			if kvs := must(other.Get(patient(t), lock.Key()))(t).Kvs; len(kvs) != 1 || string(kvs[0].Value) != revokeValue {
				t.Fatal(kvs)
			}
			if err := lock.Unlock(patient(t)); err != nil {
				t.Fatal(err)
			}
			awaitKeys(t, other, "k/", 0)
		})
	}
}

func TestALateValueDoesNotComeBack(t *testing.T) {
	t.Parallel()
	for name, enter := range map[string]func(ctx context.Context, s *Session) (func(context.Context, string) error, error){
		"election": func(ctx context.Context, s *Session) (func(context.Context, string) error, error) {
			l, err := NewElection(s, "k").Campaign(ctx, "a")
			if err != nil {
				return nil, err
			}
			return l.Proclaim, nil
		},
		"group": func(ctx context.Context, s *Session) (func(context.Context, string) error, error) {
			m, err := NewGroup(s.Client(), "k").Join(ctx, s, "m", "a")
			if err != nil {
				return nil, err
			}
			return m.Set, nil
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, r, other := relayed(t)
			set := must(enter(patient(t), s))(t)
			values := func() string {
				return string(must(other.Get(patient(t), "k/", WithPrefix()))(t).Kvs[0].Value)
			}
			r.holdNext(0)
			for _, value := range []string{"b", "c"} {
				if err := set(patient(t), value); err != nil || values() != value {
					t.Fatal(value, err, values())
				}
			}
			if r.deliver(t) != 0 || values() != "c" {
				t.Fatal("the old value is back: ", values())
			}
			// An attempt that was executed without an answer is found, and the value put once more.
			r.holdNext(0)
			setting := later(func() error { return set(patient(t), "d") })
			r.awaitHeld(t, 2)
			r.deliver(t)
			before := revision(t, other)
			if err := receive(t, setting); err != nil || values() != "d" || revision(t, other) != before+1 {
				t.Fatal(err, values())
			}
			// Its deadline bounds all attempts.
			r.set(0, 1000)
			if err := set(within(t, time.Second), "e"); !errors.Is(err, ErrMaybeHappened) || !mayBe(err) {
				t.Fatal(err)
			}
			r.set(0, 0)
			must(other.Delete(patient(t), "k/", WithPrefix()))(t)
			if err := set(patient(t), "f"); !errors.Is(err, ErrSessionLost) {
				t.Fatal(err)
			}
		})
	}
}

func TestAProclamationNeedsOneCall(t *testing.T) {
	t.Parallel()
	s, r, _ := relayed(t)
	l := must(NewElection(s, "e").Campaign(patient(t), "a"))(t)
	r.set(1000, 0)
	for _, value := range []string{"b", "c"} {
		if err := l.Proclaim(patient(t), value); err != nil {
			t.Fatal(err)
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.pass != 1000-2 {
		t.Fatal(r.pass)
	}
}

func TestAMemberThatWasReplacedJoinsAgain(t *testing.T) {
	t.Parallel()
	c, _ := server(t)
	g := NewGroup(c, "g")
	s, other := open(t, c, 10*time.Second), open(t, c, 10*time.Second)
	first := must(g.Join(patient(t), s, "m", "1"))(t)
	must(g.Join(patient(t), other, "m", "2"))(t)
	again := must(g.Join(patient(t), s, "m", "3"))(t)
	if got := fmt.Sprint(must(g.Members(patient(t)))(t)); got != "map[m:3]" {
		t.Fatal(got)
	}
	must(c.Delete(patient(t), "g/m"))(t)
	if err := again.Set(patient(t), "4"); !errors.Is(err, ErrSessionLost) {
		t.Fatal(err)
	}
	must(g.Join(patient(t), s, "m", "5"))(t)
	// The former handles are of keys that are gone.
	for _, m := range []*Membership{first, again} {
		if err := m.Leave(patient(t)); err != nil {
			t.Fatal(err)
		}
		if err := m.Set(patient(t), "6"); !errors.Is(err, ErrClosed) {
			t.Fatal(err)
		}
	}
	if got := fmt.Sprint(must(g.Members(patient(t)))(t)); got != "map[m:5]" {
		t.Fatal(got)
	}
}

func TestABarrierIsHeldByOneAttempt(t *testing.T) {
	t.Parallel()
	s, r, other := relayed(t)
	r.holdNext(0)
	if err := NewBarrier(s.Client(), "b").Hold(within(t, 3*time.Second)); !errors.Is(err, ErrMaybeHappened) {
		t.Fatal(err)
	}
	awaitKeys(t, other, "b", 0)
	if len(r.held) != 1 {
		t.Fatal(len(r.held))
	}
}

func leaveTogether(t *testing.T, one, other *DoubleBarrier) {
	t.Helper()
	left := later(func() error { return other.Leave(patient(t)) })
	if err := one.Leave(patient(t)); err != nil {
		t.Fatal(err)
	}
	if err := receive(t, left); err != nil {
		t.Fatal(err)
	}
}

func TestALateReadyLetsNobodyIn(t *testing.T) {
	t.Parallel()
	s, r, other := relayed(t)
	b, second := NewDoubleBarrier(s, "d", 2), NewDoubleBarrier(open(t, other, 60*time.Second), "d", 2)
	entered := later(func() error { return second.Enter(patient(t)) })
	awaitKeys(t, other, "d/", 1)
	r.holdNext(1) // after the key of the waiter
	if err := b.Enter(patient(t)); err != nil {
		t.Fatal(err)
	}
	if err := receive(t, entered); err != nil {
		t.Fatal(err)
	}
	leaveTogether(t, b, second)
	awaitKeys(t, other, "d/", 0)
	// Before the next round, and in it.
	if r.deliver(t) != 0 {
		t.Fatal("a late ready")
	}
	entered = later(func() error { return b.Enter(patient(t)) })
	awaitKeys(t, other, "d/", 1)
	if r.deliver(t) != 0 {
		t.Fatal("a late ready")
	}
	// A ready that was left behind by an earlier round is older than the keys of this one.
	notYet(t, entered)
	if err := second.Enter(patient(t)); err != nil {
		t.Fatal(err)
	}
	if err := receive(t, entered); err != nil {
		t.Fatal(err)
	}
}

func TestAReadyThatWasLeftBehindLetsNobodyIn(t *testing.T) {
	t.Parallel()
	c, _ := server(t)
	must(c.Put(patient(t), "d/ready", ""))(t)
	b := NewDoubleBarrier(open(t, c, 10*time.Second), "d", 2)
	if err := b.Enter(within(t, 100*time.Millisecond)); !errors.Is(err, ErrDeadline) {
		t.Fatal(err)
	}
	second := NewDoubleBarrier(open(t, c, 10*time.Second), "d", 2)
	entered := later(func() error { return b.Enter(patient(t)) })
	if err := second.Enter(patient(t)); err != nil {
		t.Fatal(err)
	}
	if err := receive(t, entered); err != nil {
		t.Fatal(err)
	}
	if err := b.Enter(patient(t)); err != nil {
		t.Fatal(err)
	}
	leaveTogether(t, b, second)
	awaitKeys(t, c, "d/", 0)
}
