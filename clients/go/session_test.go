package client

import (
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"conclave.dev/client/internal/testserver"
)

// states returns the states of a session, as they come.
func states(t *testing.T, s *Session) <-chan State {
	c := make(chan State, 100)
	t.Cleanup(s.Listen(func(state State) { c <- state }))
	return c
}

func open(t *testing.T, c *Client, ttl time.Duration) *Session {
	t.Helper()
	return must(c.NewSession(patient(t), ttl))(t)
}

func TestASessionOutlivesItsTTLAndCloseRevokesIt(t *testing.T) {
	t.Parallel()
	c, _ := server(t)
	s := open(t, c, time.Second)
	got := states(t, s)
	if state := receive(t, got); state != Connected {
		t.Fatal(state)
	}
	must(c.Put(patient(t), "a", "1", WithLease(s.Lease())))(t)
	granted := time.Now()
	eventually(t, "three TTLs are over", func() bool { return time.Since(granted) > 3*s.TTL() })
	if s.State() != Connected || len(must(c.Get(patient(t), "a"))(t).Kvs) != 1 {
		t.Fatal(s.State())
	}
	if err := s.Close(patient(t)); err != nil {
		t.Fatal(err)
	}
	if len(must(c.Get(patient(t), "a"))(t).Kvs) != 0 {
		t.Fatal("the lease is alive")
	}
	if state := receive(t, got); state != Lost || !errors.Is(s.Err(), ErrClosed) {
		t.Fatal(state, s.Err())
	}
	if err := s.Close(patient(t)); err != nil {
		t.Fatal(err)
	}
}

func TestASessionMovesToAnotherMember(t *testing.T) {
	t.Parallel()
	members := testserver.Start(t, 3)
	c := connect(t, Options{Endpoints: testserver.Addresses(members)})
	s := open(t, c, 6*time.Second)
	got := states(t, s)
	for _, m := range members {
		m.Kill()
		m.Restart()
		m.AwaitHealthy()
	}
	end := time.Now().Add(7 * time.Second)
	eventually(t, "a TTL is over", func() bool { return time.Now().After(end) })
	if s.Err() != nil {
		t.Fatal(s.Err())
	}
	for len(got) > 0 {
		if state := receive(t, got); state == Lost {
			t.Fatal(state)
		}
	}
}

func TestASessionIsSuspendedReconnectedAndLost(t *testing.T) {
	t.Parallel()
	member := testserver.Start(t, 1)[0]
	proxy := testserver.StartProxy(t, member.Address)
	c := connect(t, Options{Endpoints: []string{proxy.Address}})
	s := open(t, c, 6*time.Second)
	got := states(t, s)
	receive(t, got)
	proxy.Silence()
	proxy.Cut()
	if state := receive(t, got); state != Suspended {
		t.Fatal(state)
	}
	proxy.Resume()
	proxy.Cut()
	if state := receive(t, got); state != Reconnected {
		t.Fatal(state)
	}
	proxy.Silence()
	silenced := time.Now()
	if state := receive(t, got); state != Suspended {
		t.Fatal(state)
	}
	if state := receive(t, got); state != Lost {
		t.Fatal(state)
	}
	// The last keep-alive was sent at most a third of the TTL before.
	if after := time.Since(silenced); after < 3*time.Second || after > 6*time.Second {
		t.Fatalf("lost after %v", after)
	}
	if !errors.Is(s.Err(), ErrSessionLost) {
		t.Fatal(s.Err())
	}
	await(t, s.Done())
	proxy.Resume()
}

func TestARevokedLeaseIsLostAtOnce(t *testing.T) {
	t.Parallel()
	c, _ := server(t)
	s := open(t, c, 3*time.Second)
	got := states(t, s)
	receive(t, got)
	if err := c.Revoke(patient(t), s.Lease()); err != nil {
		t.Fatal(err)
	}
	revoked := time.Now()
	if state := receive(t, got); state != Lost || time.Since(revoked) > 2*time.Second {
		t.Fatal(state, time.Since(revoked))
	}
}

func TestTheClockDecidesAfterAPause(t *testing.T) {
	t.Parallel()
	c, _ := server(t)
	s := open(t, c, 5*time.Second)
	// As if the process had been stopped: no goroutine has run, and the time is over.
	s.mu.Lock()
	s.lostAt = time.Now()
	s.mu.Unlock()
	if !errors.Is(s.Err(), ErrSessionLost) || s.State() != Lost {
		t.Fatal(s.Err())
	}
	s.confirmed(time.Now(), s.ttl)
	if s.State() != Lost {
		t.Fatal("a late answer has revived the session")
	}
}

func TestLossComesBeforeTheServersExpiry(t *testing.T) {
	t.Parallel()
	sent := time.Now()
	for ttl, want := range map[time.Duration]time.Duration{
		time.Second: 900 * time.Millisecond, 10 * time.Second: 9500 * time.Millisecond, time.Minute: 57 * time.Second,
	} {
		if got := lossOf(sent, ttl).Sub(sent); got != want {
			t.Fatal(ttl, got)
		}
	}
}

func TestListenersAreIndependent(t *testing.T) {
	t.Parallel()
	_, member := server(t)
	logged := make(lines, 10)
	c := connect(t, Options{Endpoints: []string{member.Address}, Logger: slog.New(slog.NewTextHandler(logged, nil))})
	s := open(t, c, 5*time.Second)
	block := make(chan struct{})
	s.Listen(func(State) { panic("a listener's bug") })
	s.Listen(func(State) { <-block })
	got := states(t, s)
	if err := s.Close(patient(t)); err != nil {
		t.Fatal(err)
	}
	if all := fmt.Sprintf("%s %s", receive(t, got), receive(t, got)); all != "CONNECTED LOST" {
		t.Fatal(all)
	}
	close(block)
	if line := receive(t, logged); !strings.Contains(line, "a listener's bug") {
		t.Fatal(line)
	}
}

// lines has what was logged.
type lines chan string

func (l lines) Write(line []byte) (int, error) {
	l <- string(line)
	return len(line), nil
}

func TestClosingTheClientClosesItsSessions(t *testing.T) {
	t.Parallel()
	c, member := server(t)
	s := open(t, c, 30*time.Second)
	_ = c.Close()
	if !errors.Is(s.Err(), ErrClosed) {
		t.Fatal(s.Err())
	}
	other := connect(t, Options{Endpoints: []string{member.Address}})
	if left := must(other.TimeToLive(patient(t), s.Lease()))(t); left.TTL != -1 {
		t.Fatal(left)
	}
	if _, err := other.NewSession(patient(t), -time.Second); !errors.Is(err, ErrInvalid) {
		t.Fatal(err)
	}
}
