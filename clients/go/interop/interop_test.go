// Package interop tests that this client and etcd's own work in one program, and share locks and
// elections. It is a module of its own, so that the client does not depend on etcd's.
package interop

import (
	"context"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/concurrency"

	"conclave.dev/client"
	"conclave.dev/client/internal/testserver"
)

// both returns a session of each client, of the same server.
func both(t *testing.T) (context.Context, *client.Session, *concurrency.Session) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), testserver.Patience)
	t.Cleanup(cancel)
	member := testserver.Start(t, 1)[0]
	ours, err := client.New(client.Options{Endpoints: []string{member.Address}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = ours.Close() })
	session, err := ours.NewSession(ctx, 10*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	etcds, err := clientv3.New(clientv3.Config{Endpoints: []string{member.Address}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = etcds.Close() })
	other, err := concurrency.NewSession(etcds, concurrency.WithTTL(10))
	if err != nil {
		t.Fatal(err)
	}
	return ctx, session, other
}

func TestBothShareAMutex(t *testing.T) {
	ctx, ours, etcds := both(t)
	theirs := concurrency.NewMutex(etcds, "lock")
	if err := theirs.Lock(ctx); err != nil {
		t.Fatal(err)
	}
	mutex := client.NewMutex(ours, "lock")
	if _, ok, err := mutex.TryLock(ctx); ok || err != nil {
		t.Fatal(ok, err)
	}
	locked := make(chan *client.Lock)
	go func() {
		l, err := mutex.Lock(ctx)
		if err != nil {
			t.Error(err)
		}
		locked <- l
	}()
	awaitContenders(t, ctx, ours, 2)
	if err := theirs.Unlock(ctx); err != nil {
		t.Fatal(err)
	}
	l := <-locked
	if err := theirs.TryLock(ctx); err != concurrency.ErrLocked {
		t.Fatal(err)
	}
	done := make(chan error)
	go func() { done <- theirs.Lock(ctx) }()
	awaitContenders(t, ctx, ours, 2)
	if err := l.Unlock(ctx); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}

func TestBothShareAnElection(t *testing.T) {
	ctx, ours, etcds := both(t)
	election := client.NewElection(ours, "lock")
	leads, err := election.Campaign(ctx, "ours")
	if err != nil {
		t.Fatal(err)
	}
	theirs := concurrency.NewElection(etcds, "lock")
	leader, err := theirs.Leader(ctx)
	if err != nil || string(leader.Kvs[0].Value) != "ours" || leader.Kvs[0].CreateRevision != leads.Token() {
		t.Fatal(leader, err)
	}
	won := make(chan error)
	go func() { won <- theirs.Campaign(ctx, "theirs") }()
	awaitContenders(t, ctx, ours, 2)
	if err := leads.Resign(ctx); err != nil {
		t.Fatal(err)
	}
	if err := <-won; err != nil {
		t.Fatal(err)
	}
	now, err := client.CurrentLeader(ctx, ours.Client(), "lock")
	if err != nil || now.Value != "theirs" || now.Token != theirs.Rev() {
		t.Fatal(now, err)
	}
	next := make(chan error)
	go func() {
		_, err := election.Campaign(ctx, "again")
		next <- err
	}()
	awaitContenders(t, ctx, ours, 2)
	if err := theirs.Resign(ctx); err != nil {
		t.Fatal(err)
	}
	if err := <-next; err != nil {
		t.Fatal(err)
	}
}

func awaitContenders(t *testing.T, ctx context.Context, s *client.Session, n int) {
	t.Helper()
	for {
		keys, err := client.MutexContenders(ctx, s.Client(), "lock")
		if err != nil {
			t.Fatal(err)
		}
		if len(keys) == n {
			return
		}
	}
}
