package client

import (
	"errors"
	"fmt"
	"testing"
	"time"
)

// lockLater locks in the background.
func lockLater(lock func() (*Lock, error)) <-chan *Lock {
	c := make(chan *Lock, 1)
	go func() {
		if l, err := lock(); err == nil {
			c <- l
		} else {
			close(c)
		}
	}()
	return c
}

func awaitKeys(t *testing.T, c *Client, prefix string, n int) {
	t.Helper()
	eventually(t, fmt.Sprintf("%d keys under %s", n, prefix), func() bool {
		return len(must(c.Get(patient(t), prefix, WithPrefix()))(t).Kvs) == n
	})
}

func isWaiting(t *testing.T, c <-chan *Lock) {
	t.Helper()
	select {
	case <-c:
		t.Fatal("it does not wait")
	default:
	}
}

func TestReadersShareAndWritersDoNot(t *testing.T) {
	t.Parallel()
	c, _ := server(t)
	var locks []*RWLock
	for range 5 {
		locks = append(locks, NewRWLock(open(t, c, 10*time.Second), "rw"))
	}
	first := must(locks[0].RLock(patient(t)))(t)
	second := must(locks[1].RLock(patient(t)))(t)
	writer := lockLater(func() (*Lock, error) { return locks[2].Lock(patient(t)) })
	awaitKeys(t, c, "rw/", 3)
	// A reader behind a writer waits, so that writers get their turn.
	reader := lockLater(func() (*Lock, error) { return locks[3].RLock(patient(t)) })
	awaitKeys(t, c, "rw/", 4)
	if _, ok, err := locks[4].TryRLock(patient(t)); ok || err != nil {
		t.Fatal(ok, err)
	}
	_ = first.Unlock(patient(t))
	isWaiting(t, writer)
	_ = second.Unlock(patient(t))
	w := receive(t, writer)
	isWaiting(t, reader)
	if _, ok, err := locks[0].TryLock(patient(t)); ok || err != nil {
		t.Fatal(ok, err)
	}
	_ = w.Unlock(patient(t))
	r := receive(t, reader)
	if _, err := locks[3].Lock(patient(t)); !errors.Is(err, ErrInvalid) {
		t.Fatal(err)
	}
	_ = r.Unlock(patient(t))
	if _, ok, err := locks[0].TryLock(patient(t)); !ok || err != nil {
		t.Fatal(ok, err)
	}
}

func TestAWriterBecomesAReaderAndNoWriterComesBetween(t *testing.T) {
	t.Parallel()
	c, _ := server(t)
	a, b := NewRWLock(open(t, c, 10*time.Second), "rw"), NewRWLock(open(t, c, 10*time.Second), "rw")
	write := must(a.Lock(patient(t)))(t)
	other := lockLater(func() (*Lock, error) { return b.Lock(patient(t)) })
	awaitKeys(t, c, "rw/", 2)
	read := must(a.RLock(patient(t)))(t)
	if err := write.Unlock(patient(t)); err != nil || !read.Held() {
		t.Fatal(err)
	}
	// The other writer's key is older than the reader's.
	eventually(t, "some rounds of the other writer are over", func() bool {
		isWaiting(t, other)
		return must(c.Put(patient(t), "x", ""))(t).Header.Revision > 20
	})
	_ = read.Unlock(patient(t))
	receive(t, other)

	c2, _ := server(t)
	a, b = NewRWLock(open(t, c2, 10*time.Second), "rw"), NewRWLock(open(t, c2, 10*time.Second), "rw")
	write = must(a.Lock(patient(t)))(t)
	read = must(a.RLock(patient(t)))(t)
	_ = write.Unlock(patient(t))
	// Without another writer, the others may read now.
	must(b.RLock(patient(t)))(t)
	if !read.Held() {
		t.Fatal("not held")
	}
}

func TestASemaphoreHasSoManyHolders(t *testing.T) {
	t.Parallel()
	c, _ := server(t)
	s, other := open(t, c, 10*time.Second), open(t, c, 10*time.Second)
	first := must(NewSemaphore(s, "s", 2).Acquire(patient(t)))(t)
	second := must(NewSemaphore(s, "s", 2).Acquire(patient(t)))(t)
	if _, err := NewSemaphore(other, "s", 3).Acquire(patient(t)); !errors.Is(err, ErrInvalid) {
		t.Fatal(err)
	}
	if _, ok, err := NewSemaphore(other, "s", 2).TryAcquire(patient(t)); ok || err != nil {
		t.Fatal(ok, err)
	}
	awaitKeys(t, c, "s/", 2)
	third := lockLater(func() (*Lock, error) { return NewSemaphore(other, "s", 2).Acquire(patient(t)) })
	awaitKeys(t, c, "s/", 3)
	fourth := lockLater(func() (*Lock, error) { return NewSemaphore(other, "s", 2).Acquire(patient(t)) })
	awaitKeys(t, c, "s/", 4)
	isWaiting(t, third)
	// The oldest goes, which is not the key before that of the first waiter.
	_ = first.Unlock(patient(t))
	l := receive(t, third)
	isWaiting(t, fourth)
	_ = second.Unlock(patient(t))
	receive(t, fourth)
	if !l.Held() {
		t.Fatal("not held")
	}
}

func TestALeaderLatchStays(t *testing.T) {
	t.Parallel()
	c, _ := server(t)
	a := must(NewLeaderLatch(open(t, c, 10*time.Second), "e", "a"))(t)
	first := must(a.Await(patient(t)))(t)
	b := must(NewLeaderLatch(open(t, c, 10*time.Second), "e", "b"))(t)
	awaitKeys(t, c, "e/", 2)
	if !a.IsLeader() || b.IsLeader() {
		t.Fatal("two lead")
	}
	must(c.Delete(patient(t), first.Key()))(t)
	second := must(b.Await(patient(t)))(t)
	awaitKeys(t, c, "e/", 2) // the first one is in the queue again
	b.Close()
	if second.Held() || b.IsLeader() {
		t.Fatal("closed, and leads")
	}
	if l := must(a.Await(patient(t)))(t); l.Token() <= second.Token()-1 || !a.IsLeader() {
		t.Fatal(l.Token())
	}
	a.Close()
	a.Close()
	if _, err := a.Await(patient(t)); !errors.Is(err, ErrClosed) {
		t.Fatal(err)
	}
	awaitKeys(t, c, "e/", 0)
}
