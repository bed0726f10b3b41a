package client

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"conclave.dev/client/api"
	"conclave.dev/client/internal/testserver"
)

// guarded returns a member with authentication: root has the password "rp", and alice, who may use the keys
// under a/, "ap".
func guarded(t *testing.T) *testserver.Member {
	t.Helper()
	c, member := server(t, "--bcrypt-cost=4")
	ctx, auth := patient(t), api.NewAuthClient(c.Conn())
	must(auth.UserAdd(ctx, &api.AuthUserAddRequest{Name: "root", Password: "rp"}))(t)
	must(auth.UserAdd(ctx, &api.AuthUserAddRequest{Name: "alice", Password: "ap"}))(t)
	must(auth.RoleAdd(ctx, &api.AuthRoleAddRequest{Name: "root"}))(t)
	must(auth.RoleAdd(ctx, &api.AuthRoleAddRequest{Name: "a"}))(t)
	must(auth.UserGrantRole(ctx, &api.AuthUserGrantRoleRequest{User: "root", Role: "root"}))(t)
	must(auth.UserGrantRole(ctx, &api.AuthUserGrantRoleRequest{User: "alice", Role: "a"}))(t)
	must(auth.RoleGrantPermission(ctx, &api.AuthRoleGrantPermissionRequest{Name: "a", Perm: &api.Permission{
		PermType: api.Permission_READWRITE, Key: []byte("a/"), RangeEnd: []byte("a0"),
	}}))(t)
	must(auth.AuthEnable(ctx, &api.AuthEnableRequest{}))(t)
	return member
}

func TestAUserLogsInAndAgainWhenItsTokenIsRefused(t *testing.T) {
	t.Parallel()
	member := guarded(t)
	c := connect(t, Options{Endpoints: []string{member.Address}, User: "alice", Password: "ap"})
	var first sync.WaitGroup
	for range 5 {
		first.Go(func() {
			if _, err := c.Put(patient(t), "a/1", "1"); err != nil {
				t.Error(err)
			}
		})
	}
	first.Wait()
	if _, err := c.Put(patient(t), "b", "1"); !errors.Is(err, ErrPermissionDenied) || mayBe(err) {
		t.Fatal(err)
	}
	w := must(c.Watch(patient(t), "a/", WithPrefix()))(t)
	s := open(t, c, 5*time.Second)
	lock := must(NewMutex(s, "a/lock").Lock(patient(t)))(t)
	collect(t, w, 1)
	// Simple tokens are forgotten by a restart.
	member.Kill()
	member.Restart()
	// A put that is sent before the client notices the kill fails, since it may have happened, for all the client knows.
	eventually(t, "a put", func() bool {
		_, err := c.Put(patient(t), "a/1", "2")
		return err == nil
	})
	if got := collect(t, w, 1); got[0] != "2" {
		t.Fatal(got)
	}
	confirmed := s.lossTime()
	eventually(t, "the lease is kept alive again", func() bool { return s.lossTime().After(confirmed) })
	if !lock.Held() {
		t.Fatal("not held")
	}
}

func TestAWatchWithoutPermissionEnds(t *testing.T) {
	t.Parallel()
	member := guarded(t)
	c := connect(t, Options{Endpoints: []string{member.Address}, User: "alice", Password: "ap"})
	w, err := c.Watch(patient(t), "b")
	if err == nil {
		err = w.Err()
	}
	if !errors.Is(err, ErrPermissionDenied) {
		t.Fatal(err)
	}
}

func TestWithoutAUserCallsAreRefusedAndNotSentAgain(t *testing.T) {
	t.Parallel()
	member := guarded(t)
	c := connect(t, Options{Endpoints: []string{member.Address}})
	if _, err := c.Put(patient(t), "a/1", "1"); !errors.Is(err, ErrUserEmpty) {
		t.Fatal(err)
	}
}

func TestAWrongPasswordIsNotTriedOften(t *testing.T) {
	t.Parallel()
	member := guarded(t)
	c := connect(t, Options{Endpoints: []string{member.Address}, User: "alice", Password: "secret"})
	ctx := patient(t)
	// 100, 200, 400, 800 ms.
	for c.login.pause < 800*time.Millisecond {
		_, err := c.Put(ctx, "a/1", "1")
		var e *Error
		if !errors.As(err, &e) || e.Kind != KindLogin || e.Name != ErrAuthFailed.Name || e.Maybe {
			t.Fatal(err)
		}
		if strings.Contains(err.Error(), "secret") {
			t.Fatal("the password is in the error")
		}
	}
	if _, err := c.NewSession(patient(t), 0); !errors.Is(err, ErrLogin) {
		t.Fatal(err)
	}
	if _, err := c.Watch(patient(t), "a/1"); !errors.Is(err, ErrLogin) {
		t.Fatal(err)
	}
}

func TestAUserIsNoHarmWithoutAuthentication(t *testing.T) {
	t.Parallel()
	_, member := server(t)
	c := connect(t, Options{Endpoints: []string{member.Address}, User: "alice", Password: "ap"})
	must(c.Put(patient(t), "a", "1"))(t)
}

func TestWaitingForALoginIsCancelled(t *testing.T) {
	t.Parallel()
	member := guarded(t)
	proxy := testserver.StartProxy(t, member.Address)
	c := connect(t, Options{Endpoints: []string{proxy.Address}, User: "alice", Password: "ap"})
	proxy.Silence()
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(50*time.Millisecond, cancel)
	if _, err := c.Put(ctx, "a/1", "1"); !errors.Is(err, ErrCancelledCall) || mayBe(err) {
		t.Fatal(err)
	}
	proxy.Resume()
	must(c.Put(patient(t), "a/1", "1"))(t)
}
