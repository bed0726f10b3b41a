package client

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strconv"
	"sync"
	"testing"
	"time"

	"conclave.dev/client/internal/testserver"
)

// later runs f in the background.
func later(f func() error) <-chan error {
	c := make(chan error, 1)
	go func() { c <- f() }()
	return c
}

func notYet(t *testing.T, c <-chan error) {
	t.Helper()
	select {
	case err := <-c:
		t.Fatal("it has returned: ", err)
	default:
	}
}

func TestABarrierHoldsBack(t *testing.T) {
	t.Parallel()
	c, _ := server(t)
	b := NewBarrier(c, "b")
	if err := b.Wait(patient(t)); err != nil {
		t.Fatal(err)
	}
	if err := b.Hold(patient(t)); err != nil {
		t.Fatal(err)
	}
	if err := b.Wait(within(t, 50*time.Millisecond)); !errors.Is(err, ErrDeadline) {
		t.Fatal(err)
	}
	waiting := later(func() error { return b.Wait(patient(t)) })
	if err := b.Hold(patient(t)); err != nil {
		t.Fatal(err)
	}
	notYet(t, waiting)
	if err := b.Release(patient(t)); err != nil {
		t.Fatal(err)
	}
	if err := receive(t, waiting); err != nil {
		t.Fatal(err)
	}
}

func TestADoubleBarrierBeginsAndEndsTogether(t *testing.T) {
	t.Parallel()
	c, _ := server(t)
	var barriers []*DoubleBarrier
	for range 3 {
		barriers = append(barriers, NewDoubleBarrier(open(t, c, 10*time.Second), "d", 3))
	}
	for round := range 3 {
		var entered, left []<-chan error
		for i, b := range barriers {
			entered = append(entered, later(func() error { return b.Enter(patient(t)) }))
			if i < 2 {
				awaitKeys(t, c, "d/waiters/", i+1)
				notYet(t, entered[0])
			}
		}
		for _, e := range entered {
			if err := receive(t, e); err != nil {
				t.Fatal(round, err)
			}
		}
		for i, b := range barriers {
			left = append(left, later(func() error { return b.Leave(patient(t)) }))
			if i < 2 {
				awaitKeys(t, c, "d/waiters/", 2-i)
				notYet(t, left[0])
			}
		}
		for _, l := range left {
			if err := receive(t, l); err != nil {
				t.Fatal(round, err)
			}
		}
		awaitKeys(t, c, "d/", 0)
	}
	if err := barriers[0].Enter(within(t, 100*time.Millisecond)); !errors.Is(err, ErrDeadline) {
		t.Fatal(err)
	}
	awaitKeys(t, c, "d/", 0)
}

func TestALatchIsCountedDown(t *testing.T) {
	t.Parallel()
	c, _ := server(t)
	l := NewLatch(c, "l")
	if _, err := l.CountDown(patient(t)); !errors.Is(err, ErrInvalid) {
		t.Fatal(err)
	}
	waiting := later(func() error { return l.Wait(patient(t)) })
	if !must(l.Create(patient(t), 2))(t) || must(l.Create(patient(t), 5))(t) {
		t.Fatal("created twice")
	}
	if left := must(l.CountDown(patient(t)))(t); left != 1 {
		t.Fatal(left)
	}
	notYet(t, waiting)
	if left := must(l.CountDown(patient(t)))(t); left != 0 {
		t.Fatal(left)
	}
	if err := receive(t, waiting); err != nil {
		t.Fatal(err)
	}
	if left := must(l.CountDown(patient(t)))(t); left != 0 {
		t.Fatal(left)
	}
}

func TestAQueueIsInOrderAndDeliversAgain(t *testing.T) {
	t.Parallel()
	c, _ := server(t)
	q := NewQueue(c, "q")
	s, other := open(t, c, 10*time.Second), open(t, c, 10*time.Second)
	for _, item := range []struct {
		value    string
		priority int
	}{{"b", 1}, {"c", 1}, {"d", 2}, {"a", 0}} {
		if err := q.Put(patient(t), item.value, item.priority, 0); err != nil {
			t.Fatal(err)
		}
	}
	var items []*Item
	for _, want := range []string{"a", "b", "c"} {
		item := must(q.Take(patient(t), s))(t)
		if item.Value != want {
			t.Fatal(item.Value)
		}
		items = append(items, item)
	}
	if !must(items[0].Ack(patient(t)))(t) || !must(items[1].Release(patient(t)))(t) {
		t.Fatal("the claim is lost")
	}
	if item := must(q.Take(patient(t), other))(t); item.Value != "b" {
		t.Fatal(item.Value)
	}
	start := time.Now()
	const delay = 2 * time.Second
	if err := q.Put(patient(t), "late", 0, delay); err != nil {
		t.Fatal(err)
	}
	if item := must(q.Take(patient(t), other))(t); item.Value != "d" && time.Since(start) < delay {
		t.Fatal(item.Value)
	}
	if item := must(q.Take(patient(t), other))(t); item.Value != "late" || time.Since(start) < delay {
		t.Fatal(item.Value, time.Since(start))
	}
	// Its session is lost: the item comes again, and its ack has no effect.
	taken := make(chan *Item, 1)
	go func() {
		item, _ := q.Take(patient(t), other)
		taken <- item
	}()
	if err := c.Revoke(patient(t), s.Lease()); err != nil {
		t.Fatal(err)
	}
	if item := receive(t, taken); item == nil || item.Value != "c" {
		t.Fatal(item)
	}
	if must(items[2].Ack(patient(t)))(t) {
		t.Fatal("acknowledged twice")
	}
	if _, err := q.Take(within(t, 50*time.Millisecond), other); !errors.Is(err, ErrDeadline) {
		t.Fatal(err)
	}
	if err := q.Put(patient(t), "x", 100_000, 0); !errors.Is(err, ErrInvalid) {
		t.Fatal(err)
	}
}

func TestManyTakersGetEveryItemOnce(t *testing.T) {
	t.Parallel()
	c, _ := server(t)
	q := NewQueue(c, "q")
	const n = 40
	for i := range n {
		if err := q.Put(patient(t), strconv.Itoa(i), 0, 0); err != nil {
			t.Fatal(err)
		}
	}
	got := make(chan string, n)
	var takers sync.WaitGroup
	for range 4 {
		s := open(t, c, 10*time.Second)
		takers.Go(func() {
			for range n / 4 {
				item, err := q.Take(patient(t), s)
				if err != nil {
					t.Error(err)
					return
				}
				if done, err := item.Ack(patient(t)); !done || err != nil {
					t.Error(done, err)
				}
				got <- item.Value
			}
		})
	}
	takers.Wait()
	seen := map[string]bool{}
	for range n {
		seen[receive(t, got)] = true
	}
	if len(seen) != n {
		t.Fatal(seen)
	}
}

func TestACounterCounts(t *testing.T) {
	t.Parallel()
	c, _ := server(t)
	n := NewCounter(c, "n")
	var adding sync.WaitGroup
	for range 4 {
		adding.Go(func() {
			for range 10 {
				if _, err := n.Add(patient(t), 1); err != nil {
					t.Error(err)
				}
			}
		})
	}
	adding.Wait()
	if value := must(n.Get(patient(t)))(t); value != 40 {
		t.Fatal(value)
	}
	if now, ok, err := n.CompareAndSet(patient(t), 39, 0); ok || now != 40 || err != nil {
		t.Fatal(now, ok, err)
	}
	if now, ok, err := n.CompareAndSet(patient(t), 40, math.MaxInt64); !ok || now != math.MaxInt64 || err != nil {
		t.Fatal(now, ok, err)
	}
	if _, err := n.Add(patient(t), 1); !errors.Is(err, ErrInvalid) {
		t.Fatal(err)
	}
	must(c.Put(patient(t), "n", "many"))(t)
	if _, err := n.Add(patient(t), 1); !errors.Is(err, ErrInvalid) {
		t.Fatal(err)
	}
}

func TestAValueIsComparedAndListenedTo(t *testing.T) {
	t.Parallel()
	c, _ := server(t)
	v := NewSharedValue(c, "v")
	if now := must(v.Get(patient(t)))(t); now.Found {
		t.Fatal(now)
	}
	values := make(chan Versioned, 10)
	stop := must(v.Listen(t.Context(), func(now Versioned) { values <- now }))(t)
	if now := receive(t, values); now.Found {
		t.Fatal(now)
	}
	revision, ok, err := v.CompareAndSet(patient(t), 0, "1")
	if !ok || err != nil {
		t.Fatal(ok, err)
	}
	if now := receive(t, values); now != (Versioned{true, "1", revision}) {
		t.Fatal(now)
	}
	if now, ok, err := v.CompareAndSet(patient(t), 0, "2"); ok || now != revision || err != nil {
		t.Fatal(now, ok, err)
	}
	if _, ok, err := v.CompareAndSet(patient(t), revision, "2"); !ok || err != nil {
		t.Fatal(ok, err)
	}
	set := must(v.Set(patient(t), "3"))(t)
	if now := must(v.Get(patient(t)))(t); now.Value != "3" || now.Revision != set {
		t.Fatal(now)
	}
	stop()
}

func TestAGroupHasItsMembers(t *testing.T) {
	t.Parallel()
	c, _ := server(t)
	g := NewGroup(c, "g")
	s, other := open(t, c, 10*time.Second), open(t, c, 10*time.Second)
	changes := make(chan map[string]string, 100)
	stop := must(g.Listen(t.Context(), func(members map[string]string) { changes <- members }))(t)
	a := must(g.Join(patient(t), s, "a", "1"))(t)
	must(g.Join(patient(t), other, "b", "2"))(t)
	if got := fmt.Sprint(must(g.Members(patient(t)))(t)); got != "map[a:1 b:2]" {
		t.Fatal(got)
	}
	// A new process of the same name replaces the former one, which does not take it away any more.
	must(g.Join(patient(t), other, "a", "3"))(t)
	if err := a.Leave(patient(t)); err != nil {
		t.Fatal(err)
	}
	if got := fmt.Sprint(must(g.Members(patient(t)))(t)); got != "map[a:3 b:2]" {
		t.Fatal(got)
	}
	if err := other.Close(patient(t)); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the listener knows", func() bool { return len(receive(t, changes)) == 2 })
	eventually(t, "the listener knows", func() bool { return len(receive(t, changes)) == 0 })
	stop()
}

func TestACacheFollows(t *testing.T) {
	t.Parallel()
	c, _ := server(t)
	must(c.Put(patient(t), "c/a", "1"))(t)
	changes := make(chan Change, 100)
	cache := must(OpenCache(t.Context(), c, "c/", func(change Change) { changes <- change }))(t)
	if string(cache.Get("c/a").Value) != "1" || cache.Get("c/b") != nil {
		t.Fatal(cache.List())
	}
	put := must(c.Put(patient(t), "c/b", "2"))(t)
	must(c.Delete(patient(t), "c/a"))(t)
	if change := receive(t, changes); change.Key != "c/b" || change.Former != nil || change.Now.ModRevision != put.Header.Revision {
		t.Fatal(change)
	}
	if change := receive(t, changes); change.Key != "c/a" || change.Now != nil || string(change.Former.Value) != "1" {
		t.Fatal(change)
	}
	// A key without the prefix: no event says that the cache is as new as this.
	last := must(c.Put(patient(t), "x", ""))(t).Header.Revision
	if err := cache.AtLeast(patient(t), last); err != nil || cache.Revision() < last {
		t.Fatal(err)
	}
	if err := cache.AtLeast(within(t, 150*time.Millisecond), last+100); !errors.Is(err, ErrDeadline) {
		t.Fatal(err)
	}
	cache.Close()
	if err := cache.AtLeast(patient(t), last+100); !errors.Is(err, ErrClosed) {
		t.Fatal(err)
	}
}

func TestACacheListsAgainAfterACompaction(t *testing.T) {
	t.Parallel()
	writer, member := server(t)
	proxy := testserver.StartProxy(t, member.Address)
	c := connect(t, Options{Endpoints: []string{proxy.Address}})
	for _, key := range []string{"c/same", "c/changed", "c/deleted"} {
		must(writer.Put(patient(t), key, "1"))(t)
	}
	var mu sync.Mutex
	seen := map[string]string{}
	cache := must(OpenCache(t.Context(), c, "c/", func(change Change) {
		mu.Lock()
		defer mu.Unlock()
		seen[change.Key] = "deleted"
		if change.Now != nil {
			seen[change.Key] = string(change.Now.Value)
		}
	}))(t)
	// While the proxy holds the watch back, the changes that it misses are compacted.
	proxy.Silence()
	must(writer.Put(patient(t), "c/changed", "2"))(t)
	must(writer.Delete(patient(t), "c/deleted"))(t)
	last := must(writer.Put(patient(t), "c/new", "1"))(t).Header.Revision
	if err := writer.Compact(patient(t), last); err != nil {
		t.Fatal(err)
	}
	proxy.Cut()
	proxy.Resume()
	eventually(t, "it has listed again", func() bool {
		mu.Lock()
		defer mu.Unlock()
		return fmt.Sprint(seen) == "map[c/changed:2 c/deleted:deleted c/new:1]" && len(cache.List()) == 3
	})
	cache.Close()
}

func TestSTMIsAtomic(t *testing.T) {
	t.Parallel()
	c, _ := server(t)
	must(c.Put(patient(t), "a", "100"))(t)
	transfer := func(from, to string, amount int) error {
		_, err := c.STM(patient(t), func(tx *STM) error {
			number := func(key string) int {
				text, _, err := tx.Get(key)
				if err != nil {
					t.Error(err)
				}
				n, _ := strconv.Atoi(text)
				return n
			}
			a, b := number(from), number(to)
			tx.Put(from, strconv.Itoa(a-amount))
			tx.Put(to, strconv.Itoa(b+amount))
			if number(from) != a-amount {
				t.Error("it does not see its own write")
			}
			return nil
		})
		return err
	}
	var moving sync.WaitGroup
	for i := range 4 {
		moving.Go(func() {
			for range 5 {
				from, to := "a", "b"
				if i%2 == 1 {
					from, to = to, from
				}
				if err := transfer(from, to, i+1); err != nil {
					t.Error(err)
				}
			}
		})
	}
	moving.Wait()
	a, b := must(NewCounter(c, "a").Get(patient(t)))(t), must(NewCounter(c, "b").Get(patient(t)))(t)
	if a+b != 100 || b != 5*(1-2+3-4) {
		t.Fatal(a, b)
	}
	bad := errors.New("bad")
	if _, err := c.STM(patient(t), func(tx *STM) error { tx.Delete("a"); return bad }); err != bad {
		t.Fatal(err)
	}
	must(c.STM(patient(t), func(tx *STM) error { tx.Delete("a"); return nil }))(t)
	if len(must(c.Get(patient(t), "a"))(t).Kvs) != 0 {
		t.Fatal("not deleted")
	}
}

func TestOnceRunsOnce(t *testing.T) {
	t.Parallel()
	c, _ := server(t)
	bad := errors.New("bad")
	if _, ran, err := Once(patient(t), open(t, c, 10*time.Second), "o", func(context.Context) (string, error) {
		return "", bad
	}); !ran || err != bad {
		t.Fatal(err)
	}
	var mu sync.Mutex
	runs := 0
	var users sync.WaitGroup
	for i := range 4 {
		s := open(t, c, 10*time.Second)
		users.Go(func() {
			result, _, err := Once(patient(t), s, "o", func(context.Context) (string, error) {
				mu.Lock()
				defer mu.Unlock()
				runs++
				return "result", nil
			})
			if err != nil || result != "result" {
				t.Error(i, result, err)
			}
		})
	}
	users.Wait()
	if runs != 1 {
		t.Fatal(runs)
	}
	_, ran, err := Once(patient(t), open(t, c, 10*time.Second), "p", func(ctx context.Context) (string, error) {
		must(c.Delete(patient(t), "p/lock/", WithPrefix()))(t)
		await(t, ctx.Done())
		return "x", nil
	})
	if !ran || !errors.Is(err, ErrSessionLost) {
		t.Fatal(ran, err)
	}
}

func TestATakeThatIsGivenUpLeavesTheItem(t *testing.T) {
	t.Parallel()
	c, _ := server(t)
	q := NewQueue(c, "q")
	s, other := open(t, c, 20*time.Second), open(t, c, 20*time.Second)
	if err := q.Put(patient(t), "item", 0, 0); err != nil {
		t.Fatal(err)
	}
	for i := range 40 {
		// Some end before the claim is sent, some while it is on its way.
		item, err := q.Take(within(t, time.Duration(i)*200*time.Microsecond), s)
		if err == nil {
			if done, err := item.Release(patient(t)); !done || err != nil {
				t.Fatal(done, err)
			}
		} else if !errors.Is(err, ErrDeadline) || mayBe(err) {
			t.Fatal(err)
		}
	}
	if item := must(q.Take(patient(t), other))(t); item.Value != "item" {
		t.Fatal(item)
	}
}
