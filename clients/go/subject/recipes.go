package main

import (
	"context"
	"strconv"

	"conclave.dev/client"
)

func init() {
	for name, do := range map[string]operation{
		"rwlock.read":           readLock,
		"rwlock.write":          writeLock,
		"rwlock.unlock":         unlock(func(a *args) string { return a.RWLock }),
		"semaphore.acquire":     acquire,
		"semaphore.release":     unlock(func(a *args) string { return a.Semaphore }),
		"barrier.hold":          barrier((*client.Barrier).Hold),
		"barrier.release":       barrier((*client.Barrier).Release),
		"barrier.wait":          barrier((*client.Barrier).Wait),
		"double_barrier.enter":  doubleBarrier((*client.DoubleBarrier).Enter),
		"double_barrier.leave":  doubleBarrier((*client.DoubleBarrier).Leave),
		"latch.create":          createLatch,
		"latch.count_down":      countDown,
		"latch.wait":            waitLatch,
		"queue.put":             queuePut,
		"queue.take":            queueTake,
		"queue.ack":             endItem((*client.Item).Ack),
		"queue.release":         endItem((*client.Item).Release),
		"counter.add":           counterAdd,
		"counter.get":           counterGet,
		"value.get":             valueGet,
		"value.compare_and_set": valueCompareAndSet,
		"group.join":            groupJoin,
		"group.leave":           groupLeave,
		"group.members":         groupMembers,
		"service.register":      serviceRegister,
		"service.list":          serviceList,
		"cache.open":            cacheOpen,
		"cache.get":             cacheGet,
		"cache.list":            cacheList,
		"cache.close":           cacheClose,
		"stm.transfer":          transfer,
		"once.run":              once,
	} {
		operations[name] = do
	}
}

func readLock(s *subject, ctx context.Context, a *args) (result, error) {
	session, err := find[*client.Session](s, a.Session)
	if err != nil {
		return result{}, err
	}
	rw := client.NewRWLock(session, a.Name)
	if a.Try {
		l, ok, err := rw.TryRLock(ctx)
		return s.locked(a.As, l, ok, err)
	}
	l, err := rw.RLock(ctx)
	return s.locked(a.As, l, true, err)
}

func writeLock(s *subject, ctx context.Context, a *args) (result, error) {
	session, err := find[*client.Session](s, a.Session)
	if err != nil {
		return result{}, err
	}
	rw := client.NewRWLock(session, a.Name)
	if a.Try {
		l, ok, err := rw.TryLock(ctx)
		return s.locked(a.As, l, ok, err)
	}
	l, err := rw.Lock(ctx)
	return s.locked(a.As, l, true, err)
}

func acquire(s *subject, ctx context.Context, a *args) (result, error) {
	session, err := find[*client.Session](s, a.Session)
	if err != nil {
		return result{}, err
	}
	m := client.NewSemaphore(session, a.Name, a.Permits)
	if a.Try {
		l, ok, err := m.TryAcquire(ctx)
		return s.locked(a.As, l, ok, err)
	}
	l, err := m.Acquire(ctx)
	return s.locked(a.As, l, true, err)
}

func barrier(do func(*client.Barrier, context.Context) error) operation {
	return func(s *subject, ctx context.Context, a *args) (result, error) {
		c, err := find[*client.Client](s, a.Client)
		if err != nil {
			return result{}, err
		}
		return result{}, do(client.NewBarrier(c, a.Name), ctx)
	}
}

func doubleBarrier(do func(*client.DoubleBarrier, context.Context) error) operation {
	return func(s *subject, ctx context.Context, a *args) (result, error) {
		session, err := find[*client.Session](s, a.Session)
		if err != nil {
			return result{}, err
		}
		return result{}, do(client.NewDoubleBarrier(session, a.Name, a.Count), ctx)
	}
}

func createLatch(s *subject, ctx context.Context, a *args) (result, error) {
	c, err := find[*client.Client](s, a.Client)
	if err != nil {
		return result{}, err
	}
	created, err := client.NewLatch(c, a.Name).Create(ctx, int64(a.Count))
	return result{ok: map[string]any{"created": created}}, err
}

func countDown(s *subject, ctx context.Context, a *args) (result, error) {
	c, err := find[*client.Client](s, a.Client)
	if err != nil {
		return result{}, err
	}
	left, err := client.NewLatch(c, a.Name).CountDown(ctx)
	return result{ok: map[string]any{"count": left}}, err
}

func waitLatch(s *subject, ctx context.Context, a *args) (result, error) {
	c, err := find[*client.Client](s, a.Client)
	if err != nil {
		return result{}, err
	}
	return result{}, client.NewLatch(c, a.Name).Wait(ctx)
}

func queuePut(s *subject, ctx context.Context, a *args) (result, error) {
	c, err := find[*client.Client](s, a.Client)
	if err != nil {
		return result{}, err
	}
	return result{}, client.NewQueue(c, a.Name).Put(ctx, a.Value, a.Priority, seconds(a.Delay))
}

func queueTake(s *subject, ctx context.Context, a *args) (result, error) {
	session, err := find[*client.Session](s, a.Session)
	if err != nil {
		return result{}, err
	}
	item, err := client.NewQueue(session.Client(), a.Name).Take(ctx, session)
	if err != nil {
		return result{}, err
	}
	s.name(a.As, item)
	return result{ok: map[string]any{"value": item.Value}}, nil
}

func endItem(do func(*client.Item, context.Context) (bool, error)) operation {
	return func(s *subject, ctx context.Context, a *args) (result, error) {
		item, err := find[*client.Item](s, a.Item)
		if err != nil {
			return result{}, err
		}
		done, err := do(item, ctx)
		return result{ok: map[string]any{"done": done}}, err
	}
}

func counterAdd(s *subject, ctx context.Context, a *args) (result, error) {
	c, err := find[*client.Client](s, a.Client)
	if err != nil {
		return result{}, err
	}
	value, err := client.NewCounter(c, a.Name).Add(ctx, a.Delta)
	return result{ok: map[string]any{"value": value}}, err
}

func counterGet(s *subject, ctx context.Context, a *args) (result, error) {
	c, err := find[*client.Client](s, a.Client)
	if err != nil {
		return result{}, err
	}
	value, err := client.NewCounter(c, a.Name).Get(ctx)
	return result{ok: map[string]any{"value": value}}, err
}

func valueGet(s *subject, ctx context.Context, a *args) (result, error) {
	c, err := find[*client.Client](s, a.Client)
	if err != nil {
		return result{}, err
	}
	now, err := client.NewSharedValue(c, a.Name).Get(ctx)
	return result{ok: map[string]any{"found": now.Found, "value": now.Value, "revision": now.Revision}}, err
}

func valueCompareAndSet(s *subject, ctx context.Context, a *args) (result, error) {
	c, err := find[*client.Client](s, a.Client)
	if err != nil {
		return result{}, err
	}
	var expected int64
	if a.Revision != nil {
		expected = *a.Revision
	}
	revision, swapped, err := client.NewSharedValue(c, a.Name).CompareAndSet(ctx, expected, a.Value)
	return result{ok: map[string]any{"swapped": swapped, "revision": revision}}, err
}

func groupJoin(s *subject, ctx context.Context, a *args) (result, error) {
	session, err := find[*client.Session](s, a.Session)
	if err != nil {
		return result{}, err
	}
	member, err := client.NewGroup(session.Client(), a.Name).Join(ctx, session, a.Member, a.Value)
	if err != nil {
		return result{}, err
	}
	s.name(a.As, member)
	return result{}, nil
}

func groupLeave(s *subject, ctx context.Context, a *args) (result, error) {
	member, err := find[*client.Membership](s, a.Group)
	if err != nil {
		return result{}, err
	}
	return result{}, member.Leave(ctx)
}

func groupMembers(s *subject, ctx context.Context, a *args) (result, error) {
	c, err := find[*client.Client](s, a.Client)
	if err != nil {
		return result{}, err
	}
	members, err := client.NewGroup(c, a.Name).Members(ctx)
	return result{ok: map[string]any{"members": members}}, err
}

func serviceRegister(s *subject, ctx context.Context, a *args) (result, error) {
	session, err := find[*client.Session](s, a.Session)
	if err != nil {
		return result{}, err
	}
	address, err := client.NewService(session.Client(), a.Service).Register(ctx, session, a.Address, nil)
	if err != nil {
		return result{}, err
	}
	s.name(a.As, address)
	return result{}, nil
}

func serviceList(s *subject, ctx context.Context, a *args) (result, error) {
	c, err := find[*client.Client](s, a.Client)
	if err != nil {
		return result{}, err
	}
	list, err := client.NewService(c, a.Service).List(ctx)
	addresses := make([]string, len(list))
	for i, address := range list {
		addresses[i] = address.Address
	}
	return result{ok: map[string]any{"addresses": addresses}}, err
}

func cacheOpen(s *subject, _ context.Context, a *args) (result, error) {
	c, err := find[*client.Client](s, a.Client)
	if err != nil {
		return result{}, err
	}
	// Events wait for the reply, so that the driver knows the name.
	replied := make(chan struct{})
	cache, err := client.OpenCache(context.Background(), c, a.Prefix, func(change client.Change) {
		<-replied
		fields := map[string]any{"type": "delete", "key": change.Key, "value": ""}
		if change.Now != nil {
			fields["type"], fields["value"] = "put", string(change.Now.Value)
		}
		s.event(a.As, fields)
	})
	if err != nil {
		return result{}, err
	}
	s.name(a.As, cache)
	return result{ok: map[string]any{"revision": cache.Revision()}, after: func() { close(replied) }}, nil
}

func cacheGet(s *subject, ctx context.Context, a *args) (result, error) {
	cache, err := find[*client.Cache](s, a.Cache)
	if err != nil {
		return result{}, err
	}
	if a.AtLeast != nil {
		if err := cache.AtLeast(ctx, *a.AtLeast); err != nil {
			return result{}, err
		}
	}
	kv := cache.Get(a.Key)
	return result{ok: map[string]any{"found": kv != nil, "value": string(kv.GetValue())}}, nil
}

func cacheList(s *subject, _ context.Context, a *args) (result, error) {
	cache, err := find[*client.Cache](s, a.Cache)
	if err != nil {
		return result{}, err
	}
	kvs := map[string]string{}
	for key, kv := range cache.List() {
		kvs[key] = string(kv.Value)
	}
	return result{ok: map[string]any{"kvs": kvs}}, nil
}

func cacheClose(s *subject, _ context.Context, a *args) (result, error) {
	cache, err := find[*client.Cache](s, a.Cache)
	if err == nil {
		cache.Close()
	}
	return result{}, err
}

func transfer(s *subject, ctx context.Context, a *args) (result, error) {
	c, err := find[*client.Client](s, a.Client)
	if err != nil {
		return result{}, err
	}
	var from, to int64
	_, err = c.STM(ctx, func(tx *client.STM) error {
		for key, number := range map[string]*int64{a.From: &from, a.To: &to} {
			text, found, err := tx.Get(key)
			if err != nil {
				return err
			}
			*number = 0
			if !found {
				continue
			}
			if *number, err = strconv.ParseInt(text, 10, 64); err != nil {
				return &client.Error{Kind: client.KindInvalid, Text: err.Error()}
			}
		}
		from, to = from-a.Amount, to+a.Amount
		tx.Put(a.From, strconv.FormatInt(from, 10))
		tx.Put(a.To, strconv.FormatInt(to, 10))
		return nil
	})
	return result{ok: map[string]any{"from": from, "to": to}}, err
}

func once(s *subject, ctx context.Context, a *args) (result, error) {
	session, err := find[*client.Session](s, a.Session)
	if err != nil {
		return result{}, err
	}
	value, ran, err := client.Once(ctx, session, a.Name, func(context.Context) (string, error) { return a.Value, nil })
	return result{ok: map[string]any{"value": value, "ran": ran}}, err
}
