package client

import (
	"context"
	"errors"
	"testing"
	"time"

	"conclave.dev/client/internal/testserver"
)

// writes are the writes of recipes that are sent again. Each returns a call to make later, with how many
// transactions that write come before its own.
var writes = map[string]func(t *testing.T, s *Session) (call func(context.Context) error, before int){
	"join": func(_ *testing.T, s *Session) (func(context.Context) error, int) {
		return func(ctx context.Context) error {
			_, err := NewGroup(s.Client(), "k").Join(ctx, s, "m", "v")
			return err
		}, 0
	},
	"register": func(_ *testing.T, s *Session) (func(context.Context) error, int) {
		return func(ctx context.Context) error {
			_, err := NewService(s.Client(), "k").Register(ctx, s, "h:1", nil)
			return err
		}, 0
	},
	"set": func(t *testing.T, s *Session) (func(context.Context) error, int) {
		m := must(NewGroup(s.Client(), "k").Join(patient(t), s, "m", "v"))(t)
		return func(ctx context.Context) error { return m.Set(ctx, "w") }, 0
	},
	"leave": func(t *testing.T, s *Session) (func(context.Context) error, int) {
		return must(NewGroup(s.Client(), "k").Join(patient(t), s, "m", "v"))(t).Leave, 0
	},
	"unlock": func(t *testing.T, s *Session) (func(context.Context) error, int) {
		return must(NewMutex(s, "k").Lock(patient(t)))(t).Unlock, 0
	},
	"proclaim": func(t *testing.T, s *Session) (func(context.Context) error, int) {
		l := must(NewElection(s, "k").Campaign(patient(t), "v"))(t)
		return func(ctx context.Context) error { return l.Proclaim(ctx, "w") }, 0
	},
	"resign": func(t *testing.T, s *Session) (func(context.Context) error, int) {
		return must(NewElection(s, "k").Campaign(patient(t), "v"))(t).Resign, 0
	},
	"ack": func(t *testing.T, s *Session) (func(context.Context) error, int) {
		item := taken(t, s)
		return func(ctx context.Context) error { _, err := item.Ack(ctx); return err }, 0
	},
	"release": func(t *testing.T, s *Session) (func(context.Context) error, int) {
		item := taken(t, s)
		return func(ctx context.Context) error { _, err := item.Release(ctx); return err }, 0
	},
	"put": func(_ *testing.T, s *Session) (func(context.Context) error, int) {
		return func(ctx context.Context) error { return NewQueue(s.Client(), "q").Put(ctx, "item", 0, 0) }, 0
	},
	"once": func(_ *testing.T, s *Session) (func(context.Context) error, int) {
		return func(ctx context.Context) error {
			_, _, err := Once(ctx, s, "k", func(context.Context) (string, error) { return "x", nil })
			return err
		}, 1 // the mutex
	},
}

// taken returns an item of a queue that the session has taken.
func taken(t *testing.T, s *Session) *Item {
	t.Helper()
	q := NewQueue(s.Client(), "q")
	if err := q.Put(patient(t), "item", 0, 0); err != nil {
		t.Fatal(err)
	}
	return must(q.Take(patient(t), s))(t)
}

func TestAWriteWithoutAnAnswerMayHaveHappened(t *testing.T) {
	t.Parallel()
	for name, prepare := range writes {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, r, _ := relayed(t)
			call, before := prepare(t, s)
			// The time is up, or the caller cancels, before the first attempt is given up.
			r.set(before, 1000)
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			err := call(ctx)
			if !errors.Is(err, ErrMaybeHappened) || !mayBe(err) {
				t.Fatalf("%+v", err)
			}
			r.set(0, 0)
		})
		t.Run(name+" refused", func(t *testing.T) {
			t.Parallel()
			s, r, _ := relayed(t)
			call, before := prepare(t, s)
			r.holdAndRefuse(before)
			if err := call(patient(t)); !errors.Is(err, ErrMaybeHappened) || !errors.Is(err, ErrPermissionDenied) || !mayBe(err) {
				t.Fatalf("%+v", err)
			}
		})
		t.Run(name+" cancelled", func(t *testing.T) {
			t.Parallel()
			s, r, _ := relayed(t)
			call, before := prepare(t, s)
			r.set(before, 1000)
			ctx, cancel := context.WithCancel(t.Context())
			calling := later(func() error { return call(ctx) })
			r.awaitHeld(t, 1)
			cancel()
			if err := receive(t, calling); !errors.Is(err, ErrCancelledCall) || !mayBe(err) {
				t.Fatalf("%+v", err)
			}
			r.set(0, 0)
		})
	}
}

func TestAWriteThatWasNotSentHasNotHappened(t *testing.T) {
	t.Parallel()
	for name, prepare := range writes {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, r, _ := relayed(t)
			call, _ := prepare(t, s)
			r.server.Stop()
			eventually(t, "the connection is broken", s.client.rotation.endpoints[0].isOut.Load)
			start := time.Now()
			if err := call(within(t, time.Second)); err == nil || mayBe(err) {
				t.Fatalf("%+v", err)
			}
			if took := time.Since(start); took > 2*time.Second {
				t.Fatal(took)
			}
		})
	}
}

func TestAnItemOfALostSessionMayBeDone(t *testing.T) {
	t.Parallel()
	for name, end := range map[string]func(i *Item, ctx context.Context) (bool, error){
		"ack":     (*Item).Ack,
		"release": (*Item).Release,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, r, other := relayed(t)
			item := taken(t, s)
			r.holdNext(0)
			ending := later(func() error { _, err := end(item, patient(t)); return err })
			r.awaitHeld(t, 1)
			s.end(ErrSessionLost)
			if err := other.Revoke(patient(t), s.Lease()); err != nil {
				t.Fatal(err)
			}
			if err := receive(t, ending); !errors.Is(err, ErrMaybeHappened) || !mayBe(err) {
				t.Fatalf("%+v", err)
			}
		})
	}
}

func TestEntriesAreBoundedWithoutAMajority(t *testing.T) {
	t.Parallel()
	members := testserver.Start(t, 3)
	c := connect(t, Options{Endpoints: testserver.Addresses(members), Timeout: 2 * time.Second})
	s := open(t, c, 60*time.Second)
	members[1].Kill()
	members[2].Kill()
	isBounded := func(name string, f func(context.Context) error) {
		t.Run(name, func(t *testing.T) {
			start := time.Now()
			if err := f(t.Context()); err == nil {
				t.Fatal("there is a majority")
			}
			if took := time.Since(start); took > 3*time.Second {
				t.Fatal(took)
			}
		})
	}
	isBounded("join", func(ctx context.Context) error {
		_, err := NewGroup(c, "g").Join(ctx, s, "m", "v")
		return err
	})
	isBounded("tryLock", func(ctx context.Context) error {
		_, _, err := NewMutex(s, "m").TryLock(ctx)
		return err
	})
	isBounded("tryLock of a place that is leaving", func(ctx context.Context) error {
		_, _, err := NewMutex(s, "m").TryLock(ctx)
		return err
	})
	isBounded("the end of the session", func(ctx context.Context) error {
		time.AfterFunc(100*time.Millisecond, func() { s.end(ErrSessionLost) })
		_, err := NewMutex(s, "n").Lock(ctx)
		if !errors.Is(err, ErrSessionLost) {
			t.Fatal(err)
		}
		return err
	})
}

func TestTryingReturnsAtOnceWhileTheSessionWaits(t *testing.T) {
	t.Parallel()
	c, _ := server(t)
	s, other := open(t, c, 10*time.Second), open(t, c, 10*time.Second)
	must(NewMutex(other, "m").Lock(patient(t)))(t)
	ctx, cancel := context.WithCancel(t.Context())
	waiting := later(func() error { _, err := NewMutex(s, "m").Lock(ctx); return err })
	awaitKeys(t, c, "m/", 2)
	start := time.Now()
	if _, isHeld, err := NewMutex(s, "m").TryLock(patient(t)); isHeld || err != nil || time.Since(start) > time.Second {
		t.Fatal(isHeld, err, time.Since(start))
	}
	notYet(t, waiting)
	cancel()
	receive(t, waiting)
}

func TestRecipesOfOneNameDoNotShareAPlace(t *testing.T) {
	t.Parallel()
	c, _ := server(t)
	s := open(t, c, 10*time.Second)
	l := must(NewMutex(s, "k").Lock(patient(t)))(t)
	if _, err := NewElection(s, "k").Campaign(patient(t), "v"); !errors.Is(err, ErrInvalid) {
		t.Fatal(err)
	}
	if kvs := must(c.Get(patient(t), l.Key()))(t).Kvs; len(kvs) != 1 || len(kvs[0].Value) != 0 {
		t.Fatal(kvs)
	}
	if err := l.Unlock(patient(t)); err != nil {
		t.Fatal(err)
	}
	must(NewElection(s, "k").Campaign(patient(t), "v"))(t)
	for _, try := range []func(context.Context) error{
		func(ctx context.Context) error { _, err := NewMutex(s, "k").Lock(ctx); return err },
		func(ctx context.Context) error { _, _, err := NewMutex(s, "k").TryLock(ctx); return err },
	} {
		if err := try(patient(t)); !errors.Is(err, ErrInvalid) {
			t.Fatal(err)
		}
	}
}

func TestAnItemThatWasTakenInVainIsGivenBack(t *testing.T) {
	t.Parallel()
	c, member := server(t)
	r := startRelay(t, member)
	proxy := testserver.StartProxy(t, r.address)
	s := open(t, connect(t, Options{Endpoints: []string{proxy.Address}}), 60*time.Second)
	q := NewQueue(s.Client(), "q")
	if err := q.Put(patient(t), "item", 0, 0); err != nil {
		t.Fatal(err)
	}
	// The claim is answered after the taker has gone, and the answer to its deletion is lost.
	ctx, cancel := context.WithCancel(t.Context())
	r.beforeTxn(func() {
		proxy.Silence()
		cancel()
	})
	taking := later(func() error { _, err := q.Take(ctx, s); return err })
	<-ctx.Done()
	awaitKeys(t, c, "q/claims/", 1)
	r.holdNext(0)
	proxy.Resume()
	if err := receive(t, taking); !errors.Is(err, ErrCancelledCall) {
		t.Fatal(err)
	}
	r.awaitHeld(t, 1)
	awaitKeys(t, c, "q/claims/", 0)
}

func TestAnUnsettledClaimIsWatchedUntilTheItemIsDone(t *testing.T) {
	t.Parallel()
	s, r, other := relayed(t)
	if err := NewQueue(other, "q").Put(patient(t), "item", 0, 0); err != nil {
		t.Fatal(err)
	}
	r.holdNext(0)
	item := must(NewQueue(s.Client(), "q").Take(patient(t), s))(t)
	eventually(t, "the claim is watched", func() bool { return r.watches.Load() == 1 })
	// It is given back, and done by another taker.
	if done := must(item.Release(patient(t)))(t); !done {
		t.Fatal("it was not released")
	}
	item = must(NewQueue(other, "q").Take(patient(t), open(t, other, 10*time.Second)))(t)
	if watches := r.watches.Load(); watches != 1 {
		t.Fatal(watches)
	}
	if done := must(item.Ack(patient(t)))(t); !done {
		t.Fatal("it was not acknowledged")
	}
	eventually(t, "nothing is watched", func() bool { return r.watches.Load() == 0 })
	if r.deliver(t) != 0 {
		t.Fatal("the claim was executed")
	}
}

func TestAWatchForCopiesBeginsAgainAfterItHasFailed(t *testing.T) {
	t.Parallel()
	s, r, other := relayed(t)
	isWatched := func() bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		return len(s.copied) > 0
	}
	lock := func() {
		t.Helper()
		r.holdNext(0)
		if err := must(NewMutex(s, "k").Lock(patient(t)))(t).Unlock(patient(t)); err != nil {
			t.Fatal(err)
		}
	}
	r.refuseRanges.Store(true)
	lock()
	eventually(t, "the watch fails", func() bool { return !isWatched() })
	r.refuseRanges.Store(false)
	lock()
	r.deliver(t)
	awaitKeys(t, other, "k/", 0)
	if !isWatched() {
		t.Fatal("the watch has ended")
	}
}
