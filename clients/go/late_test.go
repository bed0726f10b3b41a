package client

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
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

	mu sync.Mutex
	// pass and hold are how many of the next transactions that write pass, and how many after them are held.
	pass, hold int
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
	server := grpc.NewServer(grpc.ForceServerCodec(frames{}), grpc.UnknownServiceHandler(r.serve))
	var serving sync.WaitGroup
	serving.Go(func() { _ = server.Serve(l) })
	t.Cleanup(func() {
		server.Stop()
		serving.Wait()
		_ = conn.Close()
	})
	return r
}

func (r *relay) serve(_ any, client grpc.ServerStream) error {
	method, _ := grpc.MethodFromServerStream(client)
	ctx, cancel := context.WithCancel(client.Context())
	defer cancel()
	both := &grpc.StreamDesc{ServerStreams: true, ClientStreams: true}
	member, err := r.member.NewStream(ctx, both, method, grpc.ForceCodec(frames{}))
	if err != nil {
		return err
	}
	var sending sync.WaitGroup
	defer sending.Wait()
	defer cancel()
	sending.Go(func() {
		for {
			var message []byte
			if client.RecvMsg(&message) != nil {
				_ = member.CloseSend()
				return
			}
			if method == api.KV_Txn_FullMethodName && r.holds(message) {
				<-ctx.Done()
				return
			}
			if member.SendMsg(&message) != nil {
				return
			}
		}
	})
	for {
		var message []byte
		if err := member.RecvMsg(&message); err != nil {
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

// holds reports whether a transaction is held.
func (r *relay) holds(message []byte) bool {
	request := &api.TxnRequest{}
	if err := proto.Unmarshal(message, request); err != nil || onlyReads(request) {
		return false
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case r.pass > 0:
		r.pass--
		return false
	case r.hold > 0:
		r.hold--
		r.held = append(r.held, request)
		return true
	}
	return false
}

// holdNext holds one transaction that writes, after some that pass.
func (r *relay) holdNext(pass int) { r.set(pass, 1) }

func (r *relay) set(pass, hold int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.pass, r.hold = pass, hold
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
			// An attempt that was executed without an answer is found.
			r.holdNext(0)
			setting := later(func() error { return set(patient(t), "d") })
			r.awaitHeld(t, 2)
			r.deliver(t)
			before := revision(t, other)
			if err := receive(t, setting); err != nil || values() != "d" || revision(t, other) != before {
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
	left := later(func() error { return second.Leave(patient(t)) })
	if err := b.Leave(patient(t)); err != nil {
		t.Fatal(err)
	}
	if err := receive(t, left); err != nil {
		t.Fatal(err)
	}
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
	left := later(func() error { return second.Leave(patient(t)) })
	if err := b.Leave(patient(t)); err != nil {
		t.Fatal(err)
	}
	if err := receive(t, left); err != nil {
		t.Fatal(err)
	}
	awaitKeys(t, c, "d/", 0)
}
