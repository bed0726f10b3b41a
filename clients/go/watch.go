package client

import (
	"context"
	"errors"
	"io"
	"sync"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"conclave.dev/client/api"
)

const (
	// watchBuffer is how many batches a watch reads ahead of its consumer. Beyond that, the flow
	// control of its stream slows the server down (W5).
	watchBuffer = 16
	// watchStable is how long a stream must have lived for its end to be no failed attempt.
	watchStable = time.Second
)

// Batch is the changes of one or more revisions, in their order. All changes of a revision are in the
// same batch.
type Batch struct {
	// Revision is that up to which everything has been delivered.
	Revision int64
	Events   []*api.Event
}

// Watch delivers every change of its range, once and in order, over broken connections (W1).
type Watch struct {
	client   *Client
	batches  chan *Batch
	cancel   context.CancelFunc
	progress bool // deliver the progress of the store, as batches without events

	// request opens the watch again: its start is the first revision not delivered yet.
	request  *api.WatchCreateRequest
	resends  int
	created  chan struct{}
	ended    chan struct{}
	err      error // set before ended is closed
	revision int64 // set before created is closed

	mu     sync.Mutex
	stream api.Watch_WatchClient
}

// Watch opens a watch of a key, or of more with WithPrefix or WithRange, from now or from
// WithRevision. It returns when every later change will be delivered, or fails if that takes longer
// than the client's timeout. The watch ends with ctx or by Close.
//
//	for batch := range w.Batches() {
//		for _, event := range batch.Events {
//			…
//		}
//	}
//	if err := w.Err(); err != nil {
//		…
//	}
func (c *Client) Watch(ctx context.Context, key string, options ...Option) (*Watch, error) {
	return c.watch(ctx, false, key, options...)
}

func (c *Client) watch(ctx context.Context, progress bool, key string, options ...Option) (*Watch, error) {
	o, err := operate(callWatch, key, options)
	if err != nil {
		return nil, err
	}
	if ctx.Err() != nil {
		return nil, fromContext(ctx)
	}
	request := &api.WatchCreateRequest{
		Key: o.key, RangeEnd: o.end, StartRevision: o.revision, PrevKv: o.withPrevious,
		// Progress moves the start of a quiet watch along, so that it outlives compactions.
		ProgressNotify: true,
	}
	if o.noPuts {
		request.Filters = append(request.Filters, api.WatchCreateRequest_NOPUT)
	}
	if o.noDeletes {
		request.Filters = append(request.Filters, api.WatchCreateRequest_NODELETE)
	}
	lifetime, cancel := c.join(ctx)
	w := &Watch{
		client: c, batches: make(chan *Batch, watchBuffer), cancel: cancel, progress: progress,
		request: request, created: make(chan struct{}), ended: make(chan struct{}),
	}
	if !c.spawn(func(context.Context) { w.run(lifetime) }) {
		cancel()
		return nil, closed("client")
	}
	patience := time.NewTimer(c.timeout)
	defer patience.Stop()
	select {
	case <-w.created:
		return w, nil
	case <-w.ended:
		if w.err == nil {
			return nil, fromContext(lifetime)
		}
		return nil, w.err
	case <-patience.C:
		w.Close()
		return nil, ErrUnavailable.because(nil, "the watch was not opened within %v", c.timeout)
	}
}

// Batches returns the changes. The channel is closed when the watch has ended; Err has the reason.
func (w *Watch) Batches() <-chan *Batch { return w.batches }

// Revision returns the store's revision when the watch was opened.
func (w *Watch) Revision() int64 { return w.revision }

// Err returns why the watch has ended: nil if its user ended it, KindCompacted if changes that it has
// not delivered are compacted (W2), KindAPI if the server ended it, KindClosed with the client. It
// waits for that end.
func (w *Watch) Err() error {
	<-w.ended
	return w.err
}

// Close ends the watch.
func (w *Watch) Close() {
	w.cancel()
	<-w.ended
}

// requestProgress asks the server up to where it has delivered everything. Without a stream there is
// nothing to ask.
func (w *Watch) requestProgress() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.stream != nil {
		// An error ends the stream, which the receiver notices.
		_ = w.stream.Send(&api.WatchRequest{
			RequestUnion: &api.WatchRequest_ProgressRequest{ProgressRequest: &api.WatchProgressRequest{}},
		})
	}
}

// run keeps the watch open, at one endpoint after another.
func (w *Watch) run(ctx context.Context) {
	defer close(w.ended)
	defer close(w.batches)
	defer w.cancel()
	for round := w.client.rotation.begin(); ctx.Err() == nil; {
		e := round.pick()
		if e == nil {
			pausing(ctx, round.again(), nil)
			continue
		}
		opened := time.Now()
		if err := w.follow(ctx, e); err != nil {
			if ctx.Err() == nil {
				w.err = err
				return
			}
			break
		}
		if time.Since(opened) > watchStable {
			round = w.client.rotation.beginAfter(e)
		}
	}
	if errors.Is(context.Cause(ctx), ErrClosed) {
		w.err = fromContext(ctx)
	}
}

// follow opens a stream at an endpoint and delivers what comes, until the stream ends. It returns an
// error if the watch must end, too.
func (w *Watch) follow(ctx context.Context, e *endpoint) error {
	token, err := w.client.token(ctx, callOf{})
	if err != nil {
		if isWorthAnother(err) {
			return nil
		}
		return err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	// A member without a majority ends the stream, and the watch goes elsewhere (W3).
	ctx = metadata.AppendToOutgoingContext(withToken(ctx, token), "hasleader", "true")
	e.connect()
	conn := e.acquire()
	defer conn.release()
	stop := sync.OnceFunc(conn.watchSilence(silentAfter, func() { cancel(errSilent) }))
	defer stop()
	stream, err := api.NewWatchClient(conn).Watch(ctx)
	if err != nil {
		return w.broken(ctx, e, err, token)
	}
	w.mu.Lock()
	create := &api.WatchRequest_CreateRequest{CreateRequest: w.request}
	if err := stream.Send(&api.WatchRequest{RequestUnion: create}); err == nil {
		w.stream = stream
	}
	w.mu.Unlock()
	defer func() {
		w.mu.Lock()
		w.stream = nil
		w.mu.Unlock()
	}()
	for {
		response, err := stream.Recv()
		if err != nil {
			return w.broken(ctx, e, err, token)
		}
		stop()
		if response.Canceled {
			return w.canceled(response, token)
		}
		if response.Created {
			e.join()
			w.resends = 0
		}
		if !w.accept(ctx, response) {
			return nil
		}
	}
}

// accept delivers a response, and returns false if ctx has ended.
func (w *Watch) accept(ctx context.Context, response *api.WatchResponse) bool {
	revision := response.GetHeader().GetRevision()
	if response.Created {
		if w.request.StartRevision == 0 {
			// The start is fixed from now on, so that no change is missed while the stream is broken.
			w.request.StartRevision = revision + 1
		}
		select {
		case <-w.created:
		default:
			w.revision = revision
			close(w.created)
		}
		return true
	}
	if n := len(response.Events); n > 0 {
		revision = response.Events[n-1].GetKv().GetModRevision()
	}
	w.request.StartRevision = max(w.request.StartRevision, revision+1)
	if len(response.Events) == 0 && !w.progress {
		return true
	}
	select {
	case w.batches <- &Batch{Revision: revision, Events: response.Events}:
		return true
	case <-ctx.Done():
		return false
	}
}

// canceled judges a response by which the server ends the watch.
func (w *Watch) canceled(response *api.WatchResponse, token *string) error {
	if response.CompactRevision != 0 {
		return &Error{
			Kind: KindCompacted, Name: ErrCompacted.Name, Code: codes.OutOfRange, Revision: response.CompactRevision,
			Text: "the changes that the watch would deliver next are compacted: read the present state, and watch from there",
		}
	}
	known := apiError(response.CancelReason)
	if known == nil {
		return &Error{Kind: KindAPI, Code: codes.Canceled, Text: response.CancelReason}
	}
	e := *known
	return w.ends(&e, token)
}

// broken judges the end of a stream.
func (w *Watch) broken(ctx context.Context, e *endpoint, err error, token *string) error {
	if errors.Is(err, io.EOF) || context.Cause(ctx) == errSilent {
		return nil
	}
	failure := fromStatus(err, false)
	if failure.Name != "" {
		return w.ends(failure, token)
	}
	if status.Code(err) == codes.Unavailable {
		e.leave()
	}
	if failure.Kind == KindAPI {
		return failure
	}
	return nil
}

// ends returns the server's error, if the watch must end with it.
func (w *Watch) ends(e *Error, token *string) error {
	if isRefusedToken(e) && token != nil && w.resends < resendsMax {
		w.resends++
		w.client.login.forget(*token)
		return nil
	}
	if e.Retry || e.Code == codes.Unavailable || e.Name == ErrCanceled.Name || e.Name == ErrDeadlineExceeded.Name {
		return nil
	}
	return e
}
