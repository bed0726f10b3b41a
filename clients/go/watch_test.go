package client

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"conclave.dev/client/internal/testserver"
)

// collect returns the values of the next n events.
func collect(t *testing.T, w *Watch, n int) []string {
	t.Helper()
	var values []string
	for len(values) < n {
		for _, event := range receive(t, w.Batches()).Events {
			values = append(values, string(event.Kv.Value))
		}
	}
	return values
}

func TestAWatchDeliversWhatComesAfterItsStart(t *testing.T) {
	t.Parallel()
	c, _ := server(t)
	first := must(c.Put(patient(t), "a", "1"))(t)
	w := must(c.Watch(patient(t), "a"))(t)
	past := must(c.Watch(patient(t), "", WithPrefix(), WithRevision(first.Header.Revision)))(t)
	if w.Revision() != first.Header.Revision {
		t.Fatal(w.Revision())
	}
	must(c.Put(patient(t), "b", "x"))(t)
	must(c.Put(patient(t), "a", "2"))(t)
	if got := collect(t, w, 1); got[0] != "2" {
		t.Fatal(got)
	}
	if got := fmt.Sprint(collect(t, past, 3)); got != "[1 x 2]" {
		t.Fatal(got)
	}
	w.Close()
	if err := w.Err(); err != nil {
		t.Fatal(err)
	}
	past.Close()
}

func TestAWatchMissesNothingOverBrokenConnections(t *testing.T) {
	t.Parallel()
	members := testserver.Start(t, 3)
	proxy := testserver.StartProxy(t, members[0].Address)
	writer := connect(t, Options{Endpoints: []string{members[1].Address}})
	c := connect(t, Options{Endpoints: []string{proxy.Address, members[2].Address}})
	w := must(c.Watch(patient(t), "k", WithPrefix()))(t)
	var got []string
	for i := range 30 {
		must(writer.Put(patient(t), fmt.Sprintf("k%d", i%3), fmt.Sprint(i)))(t)
		if i%5 == 0 {
			proxy.Cut()
		}
		if i == 15 {
			members[2].Kill()
			members[2].Restart()
		}
	}
	got = collect(t, w, 30)
	for i, value := range got {
		if value != fmt.Sprint(i) {
			t.Fatal(got)
		}
	}
	w.Close()
}

func TestAWatchOfCompactedHistoryEnds(t *testing.T) {
	t.Parallel()
	c, _ := server(t)
	for range 5 {
		must(c.Put(patient(t), "a", "1"))(t)
	}
	last := must(c.Put(patient(t), "a", "1"))(t).Header.Revision
	if err := c.Compact(patient(t), last); err != nil {
		t.Fatal(err)
	}
	w, err := c.Watch(patient(t), "a", WithRevision(2))
	if err == nil {
		await(t, w.ended)
		err = w.Err()
	}
	var e *Error
	if !errors.As(err, &e) || e.Kind != KindCompacted || e.Revision != last {
		t.Fatal(err)
	}
}

func TestAWatchEndsWithItsContextAndItsClient(t *testing.T) {
	t.Parallel()
	c, _ := server(t)
	ctx, cancel := context.WithCancel(t.Context())
	w := must(c.Watch(ctx, "a"))(t)
	cancel()
	await(t, w.Batches())
	if w.Err() != nil {
		t.Fatal(w.Err())
	}
	w = must(c.Watch(t.Context(), "a"))(t)
	_ = c.Close()
	if err := w.Err(); !errors.Is(err, ErrClosed) {
		t.Fatal(err)
	}
}

func TestASlowConsumerDelaysNoOtherWatch(t *testing.T) {
	t.Parallel()
	c, _ := server(t)
	slow := must(c.Watch(patient(t), "a"))(t)
	fast := must(c.Watch(patient(t), "a"))(t)
	value := string(make([]byte, 20_000))
	const n = 300 // more than all buffers and windows have room for
	for range n {
		must(c.Put(patient(t), "a", value))(t)
		collect(t, fast, 1)
	}
	if len(collect(t, slow, n)) != n {
		t.Fatal("the slow one has missed something")
	}
}

func TestAWatchLeavesAMemberWithoutMajority(t *testing.T) {
	t.Parallel()
	members := testserver.Start(t, 3)
	c := connect(t, Options{Endpoints: []string{members[0].Address}})
	w := must(c.Watch(patient(t), "a"))(t)
	members[1].Kill()
	members[2].Kill()
	eventually(t, "the stream ends", func() bool {
		w.mu.Lock()
		defer w.mu.Unlock()
		return w.stream == nil
	})
	members[1].Restart()
	members[2].Restart()
	eventually(t, "there is a majority again", func() bool {
		_, err := c.Put(patient(t), "a", "1")
		return err == nil
	})
	collect(t, w, 1)
	w.Close()
}

func TestAWatchCannotBeOpenedWithoutServers(t *testing.T) {
	t.Parallel()
	member := testserver.Start(t, 1)[0]
	member.Kill()
	c := connect(t, Options{Endpoints: []string{member.Address}, Timeout: 200 * time.Millisecond})
	if _, err := c.Watch(t.Context(), "a"); !errors.Is(err, ErrUnavailable) {
		t.Fatal(err)
	}
	if _, err := c.Watch(t.Context(), ""); !errors.Is(err, ErrInvalid) {
		t.Fatal(err)
	}
}

func TestADeadConnectionIsFoundByPings(t *testing.T) {
	t.Parallel()
	members := testserver.Start(t, 3)
	proxy := testserver.StartProxy(t, members[0].Address)
	c := connect(t, Options{Endpoints: []string{proxy.Address}})
	w := must(c.Watch(patient(t), "a"))(t)
	// Nothing comes any more, and nothing says so: as if the machine were gone.
	proxy.Silence()
	silenced := time.Now()
	eventually(t, "the stream is given up", func() bool {
		w.mu.Lock()
		defer w.mu.Unlock()
		return w.stream == nil
	})
	if took := time.Since(silenced); took > pingAfter+pingTimeout+2*time.Second {
		t.Fatal(took)
	}
	proxy.Resume()
	writer := connect(t, Options{Endpoints: []string{members[1].Address}})
	must(writer.Put(patient(t), "a", "1"))(t)
	collect(t, w, 1)
}
