package client

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"conclave.dev/client/api"
	"conclave.dev/client/internal/testserver"
)

func TestAMutexHasOneOwnerAndIsFair(t *testing.T) {
	t.Parallel()
	c, _ := server(t)
	const n = 5
	locks, order := make([]*Lock, n), make(chan int, n)
	var waiting sync.WaitGroup
	for i := range n {
		s := open(t, c, 10*time.Second)
		waiting.Go(func() {
			l, err := NewMutex(s, "m").Lock(patient(t))
			if err != nil {
				t.Error(err)
				return
			}
			locks[i] = l
			order <- i
		})
		eventually(t, "it is in the queue", func() bool {
			return len(must(MutexContenders(patient(t), c, "m"))(t)) == i+1
		})
	}
	var last int64
	for i := range n {
		if got := receive(t, order); got != i {
			t.Fatalf("%d has got it before %d", got, i)
		}
		if !locks[i].Held() || locks[i].Token() <= last {
			t.Fatal(i, locks[i].Token())
		}
		last = locks[i].Token()
		if len(order) != 0 {
			t.Fatal("two own it")
		}
		if err := locks[i].Unlock(patient(t)); err != nil || locks[i].Held() {
			t.Fatal(err)
		}
	}
	waiting.Wait()
	if err := locks[0].Unlock(patient(t)); !errors.Is(err, ErrClosed) {
		t.Fatal(err)
	}
}

func TestASessionLocksAMutexAgain(t *testing.T) {
	t.Parallel()
	c, _ := server(t)
	s, other := open(t, c, 10*time.Second), open(t, c, 10*time.Second)
	a := must(NewMutex(s, "m").Lock(patient(t)))(t)
	b := must(NewMutex(s, "m").Lock(patient(t)))(t)
	if a.Token() != b.Token() {
		t.Fatal("two places")
	}
	_ = a.Unlock(patient(t))
	if _, ok, err := NewMutex(other, "m").TryLock(patient(t)); ok || err != nil || !b.Held() {
		t.Fatal(ok, err)
	}
	if keys := must(MutexContenders(patient(t), c, "m"))(t); len(keys) != 1 {
		t.Fatal(keys)
	}
	_ = b.Unlock(patient(t))
	l, ok, err := NewMutex(other, "m").TryLock(patient(t))
	if !ok || err != nil {
		t.Fatal(ok, err)
	}
	if again, ok, err := NewMutex(other, "m").TryLock(patient(t)); !ok || err != nil || again.Token() != l.Token() {
		t.Fatal(ok, err)
	}
}

func TestWaitingIsGivenUpByDeletingTheKey(t *testing.T) {
	t.Parallel()
	c, _ := server(t)
	owner, waiter := open(t, c, 10*time.Second), open(t, c, 10*time.Second)
	l := must(NewMutex(owner, "m").Lock(patient(t)))(t)
	_, err := NewMutex(waiter, "m").Lock(within(t, 100*time.Millisecond))
	if !errors.Is(err, ErrDeadline) {
		t.Fatal(err)
	}
	if keys := must(MutexContenders(patient(t), c, "m"))(t); fmt.Sprint(keys) != "["+l.Key()+"]" {
		t.Fatal(keys)
	}
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(100*time.Millisecond, cancel)
	if _, err := NewMutex(waiter, "m").Lock(ctx); !errors.Is(err, ErrCancelledCall) {
		t.Fatal(err)
	}
	// Two of the same session wait, and one gives up: the place stays.
	stays := make(chan *Lock, 1)
	go func() {
		l, _ := NewMutex(waiter, "m").Lock(patient(t))
		stays <- l
	}()
	eventually(t, "it waits", func() bool { return len(must(MutexContenders(patient(t), c, "m"))(t)) == 2 })
	if _, err := NewMutex(waiter, "m").Lock(within(t, 50*time.Millisecond)); !errors.Is(err, ErrDeadline) {
		t.Fatal(err)
	}
	_ = l.Unlock(patient(t))
	if l := receive(t, stays); !l.Held() {
		t.Fatal("not held")
	}
}

func TestALockEndsWithItsSession(t *testing.T) {
	t.Parallel()
	c, _ := server(t)
	s, next := open(t, c, 10*time.Second), open(t, c, 10*time.Second)
	l := must(NewMutex(s, "m").Lock(patient(t)))(t)
	waiting := make(chan error, 1)
	go func() {
		_, err := NewMutex(next, "m").Lock(patient(t))
		waiting <- err
	}()
	third := open(t, c, 10*time.Second)
	eventually(t, "it waits", func() bool { return len(must(MutexContenders(patient(t), c, "m"))(t)) == 2 })
	lost := make(chan error, 1)
	go func() {
		_, err := NewMutex(third, "m").Lock(patient(t))
		lost <- err
	}()
	eventually(t, "it waits", func() bool { return len(must(MutexContenders(patient(t), c, "m"))(t)) == 3 })
	if err := c.Revoke(patient(t), third.Lease()); err != nil {
		t.Fatal(err)
	}
	if err := receive(t, lost); !errors.Is(err, ErrSessionLost) {
		t.Fatal(err)
	}
	if err := c.Revoke(patient(t), s.Lease()); err != nil {
		t.Fatal(err)
	}
	await(t, l.Lost())
	if l.Held() {
		t.Fatal("held")
	}
	if err := receive(t, waiting); err != nil {
		t.Fatal(err)
	}
	if err := l.Unlock(patient(t)); s.Err() != nil && !errors.Is(err, ErrSessionLost) {
		t.Fatal(err)
	}
}

func TestAHolderLearnsThatItsKeyIsDeleted(t *testing.T) {
	t.Parallel()
	c, _ := server(t)
	s := open(t, c, 10*time.Second)
	l := must(NewMutex(s, "m").Lock(patient(t)))(t)
	must(c.Delete(patient(t), l.Key()))(t)
	await(t, l.Lost())
	if l.Held() || s.Err() != nil {
		t.Fatal("held")
	}
	again := must(NewMutex(s, "m").Lock(patient(t)))(t)
	if again.Token() <= l.Token() || !again.Held() {
		t.Fatal(again.Token())
	}
	if err := l.Unlock(patient(t)); err != nil {
		t.Fatal(err)
	}
	if len(must(c.Get(patient(t), again.Key()))(t).Kvs) != 1 {
		t.Fatal("the lost lock has deleted the key of the new one")
	}
}

func TestAnOwnerIsAskedForItsMutex(t *testing.T) {
	t.Parallel()
	c, _ := server(t)
	if asked := must(AskForMutex(patient(t), c, "m"))(t); asked {
		t.Fatal("there is no owner")
	}
	s := open(t, c, 10*time.Second)
	l := must(NewMutex(s, "m").Lock(patient(t)))(t)
	if asked := must(AskForMutex(patient(t), c, "m"))(t); !asked {
		t.Fatal("there is an owner")
	}
	await(t, l.Revoked())
	if kv := must(c.Get(patient(t), l.Key()))(t).Kvs[0]; !l.Held() || kv.Lease != s.Lease() {
		t.Fatal(kv)
	}
}

func TestAWriteByAFormerOwnerHasNoEffect(t *testing.T) {
	t.Parallel()
	c, _ := server(t)
	first, second := open(t, c, 10*time.Second), open(t, c, 10*time.Second)
	old := must(NewMutex(first, "m").Lock(patient(t)))(t)
	write := func(l *Lock) bool {
		return must(c.Txn().If(l.Owner()).Then(OpPut("data", l.Key())).Commit(patient(t)))(t).Succeeded
	}
	if !write(old) {
		t.Fatal("the owner is refused")
	}
	_ = old.Unlock(patient(t))
	now := must(NewMutex(second, "m").Lock(patient(t)))(t)
	if write(old) || !write(now) {
		t.Fatal("the token does not fence")
	}
}

func TestAMutexIsSharedWithTheLockCalls(t *testing.T) {
	t.Parallel()
	c, _ := server(t)
	s, thin := open(t, c, 10*time.Second), open(t, c, 10*time.Second)
	l := must(NewMutex(s, "m").Lock(patient(t)))(t)
	locked := make(chan *api.LockResponse, 1)
	go func() {
		answer, err := api.NewLockClient(c.Conn()).Lock(patient(t), &api.LockRequest{Name: []byte("m"), Lease: thin.Lease()})
		if err != nil {
			t.Error(err)
		}
		locked <- answer
	}()
	eventually(t, "it waits", func() bool { return len(must(MutexContenders(patient(t), c, "m"))(t)) == 2 })
	_ = l.Unlock(patient(t))
	answer := receive(t, locked)
	if _, ok, err := NewMutex(s, "m").TryLock(patient(t)); ok || err != nil {
		t.Fatal(ok, err)
	}
	must(api.NewLockClient(c.Conn()).Unlock(patient(t), &api.UnlockRequest{Key: answer.Key}))(t)
	must(NewMutex(s, "m").Lock(patient(t)))(t)
}

func TestAMutexSurvivesLostAnswers(t *testing.T) {
	t.Parallel()
	member := testserver.Start(t, 1)[0]
	proxy := testserver.StartProxy(t, member.Address)
	c := connect(t, Options{Endpoints: []string{proxy.Address}, Timeout: time.Second})
	stop, cutting := make(chan struct{}), sync.WaitGroup{}
	cutting.Go(func() {
		ticker := time.NewTicker(30 * time.Millisecond)
		defer ticker.Stop()
		for {
			select {
			case <-stop:
				return
			case <-ticker.C:
				proxy.Cut()
			}
		}
	})
	var sessions []*Session
	for len(sessions) < 3 {
		if s, err := c.NewSession(patient(t), 20*time.Second); err == nil {
			sessions = append(sessions, s)
		}
	}
	inside, users := 0, sync.WaitGroup{}
	var mu sync.Mutex
	for _, s := range sessions {
		users.Go(func() {
			for range 10 {
				l, err := NewMutex(s, "m").Lock(patient(t))
				if err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				inside++
				if inside != 1 {
					t.Error("two own it")
				}
				inside--
				mu.Unlock()
				if err := l.Unlock(patient(t)); err != nil {
					t.Error(err)
				}
			}
		})
	}
	users.Wait()
	close(stop)
	cutting.Wait()
	if keys := must(MutexContenders(patient(t), c, "m"))(t); len(keys) != 0 {
		t.Fatal(keys)
	}
}
