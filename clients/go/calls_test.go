package client

import (
	"context"
	"errors"
	"testing"
	"time"

	"conclave.dev/client/api"
	"conclave.dev/client/internal/testserver"
)

func TestKeysAreWrittenReadAndDeleted(t *testing.T) {
	t.Parallel()
	c, _ := server(t)
	ctx := patient(t)
	put := must(c.Put(ctx, "a", "1"))(t)
	must(c.Put(ctx, "ab", "2"))(t)
	got := must(c.Get(ctx, "a"))(t)
	if string(got.Kvs[0].Value) != "1" || got.Kvs[0].ModRevision != put.Header.Revision {
		t.Fatal(got)
	}
	if all := must(c.Get(ctx, "a", WithPrefix()))(t); len(all.Kvs) != 2 {
		t.Fatal(all)
	}
	if all := must(c.Get(ctx, "", WithPrefix(), WithKeysOnly()))(t); len(all.Kvs) != 2 || len(all.Kvs[0].Value) != 0 {
		t.Fatal(all)
	}
	txn := must(c.Txn().If(Mod("a", Equal, put.Header.Revision), Value("ab", NotEqual, "3")).
		Then(OpDelete("a"), OpPut("c", "4")).Else(OpGet("a")).Commit(ctx))(t)
	if !txn.Succeeded {
		t.Fatal(txn)
	}
	if old := must(c.Get(ctx, "a", WithRevision(put.Header.Revision)))(t); len(old.Kvs) != 1 {
		t.Fatal(old)
	}
	if err := c.Compact(ctx, txn.Header.Revision); err != nil {
		t.Fatal(err)
	}
	_, err := c.Get(ctx, "a", WithRevision(put.Header.Revision))
	if !errors.Is(err, ErrCompacted) {
		t.Fatal(err)
	}
	if deleted := must(c.Delete(ctx, "", WithPrefix()))(t); deleted.Deleted != 2 {
		t.Fatal(deleted)
	}
}

func TestStubsGoByTheClientsRules(t *testing.T) {
	t.Parallel()
	c, _ := server(t)
	members := must(api.NewClusterClient(c.Conn()).MemberList(patient(t), &api.MemberListRequest{}))(t)
	if len(members.Members) != 1 {
		t.Fatal(members)
	}
	_, err := api.NewElectionClient(c.Conn()).Leader(patient(t), &api.LeaderRequest{Name: []byte("e")})
	if !errors.Is(err, ErrElectionNoLeader) {
		t.Fatal(err)
	}
}

func TestCallsAreSpreadOverTheMembers(t *testing.T) {
	t.Parallel()
	members := testserver.Start(t, 3)
	c := connect(t, Options{Endpoints: testserver.Addresses(members)})
	seen := map[uint64]int{}
	for range 9 {
		seen[must(c.Get(patient(t), "a"))(t).Header.MemberId]++
	}
	if len(seen) != 3 {
		t.Fatal(seen)
	}
}

func TestReadsAndUnsentWritesGoToTheNextMember(t *testing.T) {
	t.Parallel()
	members := testserver.Start(t, 3)
	c := connect(t, Options{Endpoints: testserver.Addresses(members)})
	members[0].Kill()
	for range 6 {
		must(c.Get(patient(t), "a"))(t)
		must(c.Put(patient(t), "a", "1"))(t)
	}
	members[0].Restart()
	eventually(t, "the member is back", func() bool { return !c.rotation.endpoints[0].isOut.Load() })
}

func TestASilentMemberLeavesTheRotationAndComesBack(t *testing.T) {
	t.Parallel()
	members := testserver.Start(t, 3)
	proxy := testserver.StartProxy(t, members[0].Address)
	c := connect(t, Options{Endpoints: []string{proxy.Address, members[1].Address, members[2].Address}})
	for range 3 {
		must(c.Get(patient(t), "a"))(t) // all are connected
	}
	proxy.Silence()
	for range 3 {
		start := time.Now()
		must(c.Get(within(t, time.Second), "a"))(t)
		if took := time.Since(start); took > 900*time.Millisecond {
			t.Fatalf("half of the deadline is %v", took)
		}
	}
	if !c.rotation.endpoints[0].isOut.Load() {
		t.Fatal("the silent endpoint is in the rotation")
	}
	proxy.Resume()
	eventually(t, "the member is back", func() bool { return !c.rotation.endpoints[0].isOut.Load() })
}

func TestCallsUseANewConnectionWhenAllAreSilent(t *testing.T) {
	t.Parallel()
	for name, n := range map[string]int{"one": 1, "three": 3} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, member := server(t)
			var proxies []*testserver.Proxy
			var endpoints []string
			for range n {
				proxies = append(proxies, testserver.StartProxy(t, member.Address))
				endpoints = append(endpoints, proxies[len(proxies)-1].Address)
			}
			c := connect(t, Options{Endpoints: endpoints})
			for range n {
				must(c.Get(patient(t), "a"))(t)
			}
			for _, proxy := range proxies {
				proxy.Stall()
			}
			deadline := 5 * time.Second
			if n == 1 {
				deadline = 2 * time.Second
			}
			writing := later(func() error { _, err := c.Put(within(t, deadline), "a", "1"); return err })
			reading := later(func() error { _, err := c.Get(within(t, deadline), "a"); return err })
			repeated := later(func() error { return NewQueue(c, "q").Put(within(t, deadline), "item", 0, 0) })
			if err := receive(t, reading); err != nil {
				t.Fatal(err)
			}
			if err := receive(t, repeated); err != nil {
				t.Fatal(err)
			}
			// Its answer may come on the old connection.
			if err := receive(t, writing); !errors.Is(err, ErrMaybeHappened) {
				t.Fatal(err)
			}
			for _, e := range c.rotation.endpoints {
				eventually(t, "the old connection is closed", func() bool {
					e.mu.Lock()
					defer e.mu.Unlock()
					return len(e.open) == 1 && !e.isOut.Load()
				})
			}
		})
	}
}

func TestAWriteThatWasSentMayHaveHappened(t *testing.T) {
	t.Parallel()
	member := testserver.Start(t, 1)[0]
	proxy := testserver.StartProxy(t, member.Address)
	c := connect(t, Options{Endpoints: []string{proxy.Address}})
	must(c.Put(patient(t), "a", "1"))(t)
	proxy.Silence()
	_, err := c.Put(within(t, time.Second), "a", "2")
	if !errors.Is(err, ErrMaybeHappened) || !mayBe(err) {
		t.Fatal(err)
	}
	_, err = c.Get(within(t, time.Second), "a")
	if !errors.Is(err, ErrDeadline) || !errors.Is(err, context.DeadlineExceeded) {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(500*time.Millisecond, cancel)
	_, err = c.Put(ctx, "a", "3")
	if !errors.Is(err, ErrCancelledCall) || !errors.Is(err, context.Canceled) || !mayBe(err) {
		t.Fatal(err)
	}
	result := make(chan error)
	go func() {
		_, err := c.Put(patient(t), "a", "4")
		result <- err
	}()
	time.AfterFunc(500*time.Millisecond, proxy.Cut)
	if err := receive(t, result); !errors.Is(err, ErrMaybeHappened) {
		t.Fatal(err)
	}
	proxy.Resume()
}

func TestWithoutServersCallsAreUnavailable(t *testing.T) {
	t.Parallel()
	member := testserver.Start(t, 1)[0]
	member.Kill()
	c := connect(t, Options{Endpoints: []string{member.Address}, Timeout: 2 * time.Second})
	_, err := c.Get(t.Context(), "a")
	if !errors.Is(err, ErrUnavailable) || mayBe(err) {
		t.Fatal(err)
	}
	_, err = c.Put(t.Context(), "a", "1")
	if !errors.Is(err, ErrUnavailable) || mayBe(err) {
		t.Fatal(err)
	}
	member.Restart()
	must(c.Put(patient(t), "a", "1"))(t)
}

func TestAfterCloseCallsFail(t *testing.T) {
	t.Parallel()
	c, _ := server(t)
	must(c.Put(patient(t), "a", "1"))(t)
	_ = c.Close()
	_ = c.Close()
	if _, err := c.Get(patient(t), "a"); !errors.Is(err, ErrClosed) {
		t.Fatal(err)
	}
	if _, err := c.Watch(patient(t), "a"); !errors.Is(err, ErrClosed) {
		t.Fatal(err)
	}
	if _, err := c.NewSession(patient(t), 0); !errors.Is(err, ErrClosed) {
		t.Fatal(err)
	}
}

func TestCloseEndsWaitingCalls(t *testing.T) {
	t.Parallel()
	member := testserver.Start(t, 1)[0]
	proxy := testserver.StartProxy(t, member.Address)
	c := connect(t, Options{Endpoints: []string{proxy.Address}})
	must(c.Get(patient(t), "a"))(t)
	proxy.Silence()
	result := make(chan error)
	go func() {
		_, err := c.Get(patient(t), "a")
		result <- err
	}()
	time.AfterFunc(50*time.Millisecond, func() { _ = c.Close() })
	if err := receive(t, result); !errors.Is(err, ErrClosed) {
		t.Fatal(err)
	}
}
