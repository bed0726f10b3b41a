package client

import (
	"context"
	"testing"
	"time"

	"go.uber.org/goleak"

	"conclave.dev/client/internal/testserver"
)

// Every test closes its clients, so nothing may be left of them.
func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// server returns a client of a new cluster with one member.
func server(t *testing.T, flags ...string) (*Client, *testserver.Member) {
	t.Helper()
	member := testserver.Start(t, 1, flags...)[0]
	return connect(t, Options{Endpoints: []string{member.Address}}), member
}

// connect returns a client that is closed with the test.
func connect(t *testing.T, o Options) *Client {
	t.Helper()
	c, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// patient returns a context that ends when a test has waited too long.
func patient(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), testserver.Patience)
	t.Cleanup(cancel)
	return ctx
}

// within returns a context that ends soon.
func within(t *testing.T, d time.Duration) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), d)
	t.Cleanup(cancel)
	return ctx
}

// receive returns what comes from a channel.
func receive[T any](t *testing.T, c <-chan T) T {
	t.Helper()
	select {
	case value, ok := <-c:
		if !ok {
			t.Fatal("the channel is closed")
		}
		return value
	case <-time.After(testserver.Patience):
		t.Fatal("nothing came")
	}
	panic("unreachable")
}

// await returns when a channel is closed, or has something.
func await[T any](t *testing.T, c <-chan T) {
	t.Helper()
	select {
	case <-c:
	case <-time.After(testserver.Patience):
		t.Fatal("nothing came")
	}
}

// eventually returns when a condition holds.
func eventually(t *testing.T, what string, condition func() bool) {
	t.Helper()
	ticker := time.NewTicker(5 * time.Millisecond)
	defer ticker.Stop()
	for deadline := time.Now().Add(testserver.Patience); !condition(); <-ticker.C {
		if time.Now().After(deadline) {
			t.Fatalf("never: %s", what)
		}
	}
}

// must returns the value of a call that may not fail.
func must[T any](value T, err error) func(t *testing.T) T {
	return func(t *testing.T) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return value
	}
}
