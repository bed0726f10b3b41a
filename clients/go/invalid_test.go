package client

import (
	"context"
	"errors"
	"testing"
	"time"
)

func TestWrongArgumentsAreRefusedBeforeAnythingIsSent(t *testing.T) {
	t.Parallel()
	c, member := server(t)
	s := open(t, c, 10*time.Second)
	member.Kill() // so that whatever is sent fails in another way
	ctx := patient(t)
	fails := map[string]error{}
	_, fails["get"] = c.Get(ctx, "")
	_, fails["put"] = c.Put(ctx, "", "")
	_, fails["delete"] = c.Delete(ctx, "")
	_, fails["revision"] = c.Get(ctx, "a", WithRevision(-1))
	_, fails["limit"] = c.Get(ctx, "a", WithLimit(-1))
	_, fails["txn"] = c.Txn().If(Mod("", Equal, 0)).Commit(ctx)
	_, fails["operation"] = c.Txn().Then(OpPut("", "")).Commit(ctx)
	fails["compact"] = c.Compact(ctx, 0)
	_, fails["grant"] = c.Grant(ctx, 0)
	_, fails["session"] = c.NewSession(ctx, -1)
	_, fails["watch"] = c.Watch(ctx, "")
	_, fails["mutex"] = NewMutex(s, "").Lock(ctx)
	_, _, fails["try mutex"] = NewMutex(s, "").TryLock(ctx)
	_, fails["ask"] = AskForMutex(ctx, c, "")
	_, fails["contenders"] = MutexContenders(ctx, c, "")
	_, fails["read"] = NewRWLock(s, "").RLock(ctx)
	_, _, fails["try read"] = NewRWLock(s, "").TryRLock(ctx)
	_, fails["write"] = NewRWLock(s, "").Lock(ctx)
	_, fails["semaphore"] = NewSemaphore(s, "", 1).Acquire(ctx)
	_, _, fails["permits"] = NewSemaphore(s, "s", 0).TryAcquire(ctx)
	_, fails["election"] = NewElection(s, "").Campaign(ctx, "")
	_, fails["leader latch"] = NewLeaderLatch(s, "", "")
	_, fails["leader"] = CurrentLeader(ctx, c, "")
	_, fails["observe"] = ObserveLeader(ctx, c, "")
	fails["barrier"] = NewBarrier(c, "").Hold(ctx)
	fails["release"] = NewBarrier(c, "").Release(ctx)
	fails["wait"] = NewBarrier(c, "").Wait(ctx)
	fails["enter"] = NewDoubleBarrier(s, "", 1).Enter(ctx)
	fails["count"] = NewDoubleBarrier(s, "d", 0).Leave(ctx)
	_, fails["latch"] = NewLatch(c, "l").Create(ctx, -1)
	_, fails["count down"] = NewLatch(c, "").CountDown(ctx)
	fails["await"] = NewLatch(c, "").Wait(ctx)
	fails["queue"] = NewQueue(c, "").Put(ctx, "", 0, 0)
	fails["priority"] = NewQueue(c, "q").Put(ctx, "", -1, 0)
	fails["delay"] = NewQueue(c, "q").Put(ctx, "", 0, -1)
	_, fails["take"] = NewQueue(c, "").Take(ctx, s)
	_, fails["counter"] = NewCounter(c, "").Add(ctx, 1)
	_, fails["value"] = NewSharedValue(c, "").Get(ctx)
	_, _, fails["compare"] = NewSharedValue(c, "v").CompareAndSet(ctx, -1, "")
	_, fails["group"] = NewGroup(c, "").Join(ctx, s, "m", "")
	_, fails["members"] = NewGroup(c, "").Members(ctx)
	_, fails["service"] = NewService(c, "").Register(ctx, s, "a", nil)
	_, fails["metadata"] = NewService(c, "s").Register(ctx, s, "a", func() {})
	_, fails["listen"] = NewGroup(c, "").Listen(ctx, nil)
	_, fails["listen to a service"] = NewService(c, "").Listen(ctx, nil)
	_, fails["listen to a value"] = NewSharedValue(c, "").Listen(ctx, nil)
	_, fails["list"] = NewService(c, "").List(ctx)
	_, _, fails["once"] = Once(ctx, s, "", func(context.Context) (string, error) { return "", nil })
	for name, err := range fails {
		if !errors.Is(err, ErrInvalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestAContextThatHasEndedSendsNothing(t *testing.T) {
	t.Parallel()
	c, _ := server(t)
	s := open(t, c, 10*time.Second)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	fails := map[string]error{}
	_, fails["get"] = c.Get(ctx, "a")
	_, fails["put"] = c.Put(ctx, "a", "")
	_, fails["watch"] = c.Watch(ctx, "a")
	_, fails["session"] = c.NewSession(ctx, 0)
	_, fails["mutex"] = NewMutex(s, "m").Lock(ctx)
	_, _, fails["try mutex"] = NewMutex(s, "m").TryLock(ctx)
	_, fails["campaign"] = NewElection(s, "e").Campaign(ctx, "")
	fails["enter"] = NewDoubleBarrier(s, "d", 2).Enter(ctx)
	_, fails["take"] = NewQueue(c, "q").Take(ctx, s)
	for name, err := range fails {
		if !errors.Is(err, ErrCancelledCall) || mayBe(err) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if all := must(c.Get(patient(t), "", WithPrefix()))(t); len(all.Kvs) != 0 {
		t.Fatal(all)
	}
}
