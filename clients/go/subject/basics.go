package main

import (
	"context"
	"runtime"
	"strconv"
	"strings"
	"time"

	"conclave.dev/client"
	"conclave.dev/client/api"
)

var operations = map[string]operation{
	"client.open":   openClient,
	"client.close":  closeClient,
	"leftovers":     leftovers,
	"cancel":        cancel,
	"put":           put,
	"get":           get,
	"list":          list,
	"delete":        remove,
	"delete_prefix": remove,
	"txn":           txn,
	"compact":       compact,
	"watch.open":    openWatch,
	"watch.close":   closeWatch,
	"session.open":  openSession,
	"session.state": sessionState,
	"session.close": closeSession,
	"owner.put":     ownerPut,
}

func openClient(s *subject, _ context.Context, a *args) (result, error) {
	o := client.Options{Endpoints: a.Endpoints, User: a.User, Password: a.Password, Timeout: seconds(a.Timeout)}
	if a.CACert != "" || a.Cert != "" || a.Key != "" {
		o.TLS = &client.TLSFiles{CA: a.CACert, Cert: a.Cert, Key: a.Key}
	}
	c, err := client.New(o)
	if err != nil {
		return result{}, err
	}
	s.name(a.As, c)
	return result{}, nil
}

func closeClient(s *subject, _ context.Context, a *args) (result, error) {
	c, err := find[*client.Client](s, a.Client)
	if err != nil {
		return result{}, err
	}
	return result{}, c.Close()
}

// leftovers counts the goroutines of the library and of gRPC. They have a moment to end, since closing
// a connection does not wait for its goroutines.
func leftovers(*subject, context.Context, *args) (result, error) {
	var what []string
	for deadline := time.Now().Add(2 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		what = what[:0]
		stacks := make([]byte, 1<<20)
		stacks = stacks[:runtime.Stack(stacks, true)]
		for _, stack := range strings.Split(string(stacks), "\n\n") {
			if strings.Contains(stack, "conclave.dev/client.") || strings.Contains(stack, "google.golang.org/grpc") {
				what = append(what, stack)
			}
		}
		if len(what) == 0 || time.Now().After(deadline) {
			return result{ok: map[string]any{"count": len(what), "what": append([]string{}, what...)}}, nil
		}
	}
}

func cancel(s *subject, _ context.Context, a *args) (result, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if stop := s.running[string(a.ID)]; stop != nil {
		stop()
	}
	return result{}, nil
}

func put(s *subject, ctx context.Context, a *args) (result, error) {
	c, err := find[*client.Client](s, a.Client)
	if err != nil {
		return result{}, err
	}
	var options []client.Option
	if a.Lease != "" {
		lease, err := strconv.ParseInt(a.Lease, 16, 64)
		if err != nil {
			return result{}, &client.Error{Kind: client.KindInvalid, Text: err.Error()}
		}
		options = append(options, client.WithLease(lease))
	}
	response, err := c.Put(ctx, a.Key, a.Value, options...)
	return result{ok: map[string]any{"revision": response.GetHeader().GetRevision()}}, err
}

func get(s *subject, ctx context.Context, a *args) (result, error) {
	c, err := find[*client.Client](s, a.Client)
	if err != nil {
		return result{}, err
	}
	var options []client.Option
	if a.Serializable {
		options = append(options, client.WithSerializable())
	}
	if a.Revision != nil {
		options = append(options, client.WithRevision(*a.Revision))
	}
	response, err := c.Get(ctx, a.Key, options...)
	if err != nil {
		return result{}, err
	}
	ok := map[string]any{"found": false, "revision": response.Header.Revision}
	for _, kv := range response.Kvs {
		ok = keyValue(kv)
		delete(ok, "key")
		ok["found"], ok["revision"] = true, response.Header.Revision
	}
	return result{ok: ok}, nil
}

func keyValue(kv *api.KeyValue) map[string]any {
	return map[string]any{
		"key": string(kv.Key), "value": string(kv.Value),
		"create_revision": kv.CreateRevision, "mod_revision": kv.ModRevision,
	}
}

func list(s *subject, ctx context.Context, a *args) (result, error) {
	c, err := find[*client.Client](s, a.Client)
	if err != nil {
		return result{}, err
	}
	response, err := c.Get(ctx, a.Prefix, client.WithPrefix())
	if err != nil {
		return result{}, err
	}
	kvs := []map[string]any{}
	for _, kv := range response.Kvs {
		kvs = append(kvs, keyValue(kv))
	}
	return result{ok: map[string]any{"kvs": kvs, "revision": response.Header.Revision}}, nil
}

func remove(s *subject, ctx context.Context, a *args) (result, error) {
	c, err := find[*client.Client](s, a.Client)
	if err != nil {
		return result{}, err
	}
	key, options := a.Key, []client.Option{}
	if a.Prefix != "" {
		key, options = a.Prefix, append(options, client.WithPrefix())
	}
	response, err := c.Delete(ctx, key, options...)
	return result{ok: map[string]any{"deleted": response.GetDeleted(), "revision": response.GetHeader().GetRevision()}}, err
}

func txn(s *subject, ctx context.Context, a *args) (result, error) {
	c, err := find[*client.Client](s, a.Client)
	if err != nil {
		return result{}, err
	}
	t := c.Txn().Then(operationsOf(a.Then)...).Else(operationsOf(a.Else)...)
	for _, compare := range a.If {
		condition, err := compare.of()
		if err != nil {
			return result{}, err
		}
		t.If(condition)
	}
	response, err := t.Commit(ctx)
	return result{ok: map[string]any{"succeeded": response.GetSucceeded(), "revision": response.GetHeader().GetRevision()}}, err
}

func compact(s *subject, ctx context.Context, a *args) (result, error) {
	c, err := find[*client.Client](s, a.Client)
	if err != nil {
		return result{}, err
	}
	var revision int64
	if a.Revision != nil {
		revision = *a.Revision
	}
	return result{}, c.Compact(ctx, revision)
}

func ownerPut(s *subject, ctx context.Context, a *args) (result, error) {
	c, err := find[*client.Client](s, a.Client)
	if err != nil {
		return result{}, err
	}
	var token int64
	if a.Token != nil {
		token = *a.Token
	}
	response, err := c.Txn().If(client.Owner(a.Owner, token)).Then(client.OpPut(a.Key, a.Value)).Commit(ctx)
	return result{ok: map[string]any{"succeeded": response.GetSucceeded()}}, err
}

func openWatch(s *subject, ctx context.Context, a *args) (result, error) {
	c, err := find[*client.Client](s, a.Client)
	if err != nil {
		return result{}, err
	}
	key, options := a.Key, []client.Option{}
	if a.Prefix != "" {
		key, options = a.Prefix, append(options, client.WithPrefix())
	}
	if a.FromRevision != nil {
		options = append(options, client.WithRevision(*a.FromRevision))
	}
	// The watch outlives the request, which bounds only its opening.
	lifetime, end := context.WithCancel(context.Background())
	stop := context.AfterFunc(ctx, end)
	w, err := c.Watch(lifetime, key, options...)
	stop()
	if err != nil {
		end()
		return result{}, err
	}
	s.name(a.As, w)
	return result{ok: map[string]any{"revision": w.Revision()}, after: func() {
		defer end()
		for batch := range w.Batches() {
			for _, event := range batch.Events {
				kind := "put"
				if event.Type == api.Event_DELETE {
					kind = "delete"
				}
				s.event(a.As, map[string]any{
					"type": kind, "key": string(event.Kv.Key), "value": string(event.Kv.Value), "revision": event.Kv.ModRevision,
				})
			}
		}
		last := map[string]any{"type": "end"}
		if err := w.Err(); err != nil {
			last["error"] = errorOf(err)
		}
		s.event(a.As, last)
	}}, nil
}

func closeWatch(s *subject, _ context.Context, a *args) (result, error) {
	w, err := find[*client.Watch](s, a.Watch)
	if err == nil {
		w.Close()
	}
	return result{}, err
}

func openSession(s *subject, ctx context.Context, a *args) (result, error) {
	c, err := find[*client.Client](s, a.Client)
	if err != nil {
		return result{}, err
	}
	session, err := c.NewSession(ctx, seconds(a.TTL))
	if err != nil {
		return result{}, err
	}
	s.name(a.As, session)
	return result{ok: map[string]any{"lease": strconv.FormatInt(session.Lease(), 16)}, after: func() {
		session.Listen(func(state client.State) {
			s.event(a.As, map[string]any{"type": "state", "state": state})
		})
	}}, nil
}

func sessionState(s *subject, _ context.Context, a *args) (result, error) {
	session, err := find[*client.Session](s, a.Session)
	if err != nil {
		return result{}, err
	}
	return result{ok: map[string]any{"state": session.State()}}, nil
}

func closeSession(s *subject, ctx context.Context, a *args) (result, error) {
	session, err := find[*client.Session](s, a.Session)
	if err != nil {
		return result{}, err
	}
	return result{}, session.Close(ctx)
}
