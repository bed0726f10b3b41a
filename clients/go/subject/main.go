// Command subject is the conformance subject of the Go client: it does what the driver's requests on
// standard input say and reports what the client does. It has no logic of its own.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"os"
	"sync"
	"time"

	"conclave.dev/client"
)

// request is a line of the driver.
type request struct {
	ID   json.RawMessage `json:"id"`
	Op   string          `json:"op"`
	Args args            `json:"args"`
}

// result is what a request gives: an object for the reply, and what to do after the reply.
type result struct {
	ok    map[string]any
	after func()
}

type operation func(s *subject, ctx context.Context, a *args) (result, error)

// subject is all state: what requests have named, and the requests that run.
type subject struct {
	out   *json.Encoder
	outMu sync.Mutex

	mu      sync.Mutex
	named   map[string]any
	running map[string]context.CancelFunc
	tasks   sync.WaitGroup
}

var errUnsupported = errors.New("unsupported")

func main() {
	slog.SetDefault(slog.New(slog.NewTextHandler(os.Stderr, nil)))
	s := &subject{out: json.NewEncoder(os.Stdout), named: map[string]any{}, running: map[string]context.CancelFunc{}}
	s.out.SetEscapeHTML(false)
	lines := bufio.NewReader(os.Stdin)
	for {
		line, err := lines.ReadBytes('\n')
		if len(line) > 1 {
			var r request
			if err := json.Unmarshal(line, &r); err != nil {
				slog.Error("a request is not understood", "line", string(line), "error", err)
				s.reply(r.ID, nil, &client.Error{Kind: client.KindInvalid, Text: err.Error()})
			} else {
				s.start(r)
			}
		}
		if err != nil {
			if err != io.EOF {
				slog.Error("reading failed", "error", err)
			}
			break
		}
	}
	for _, c := range all[*client.Client](s) {
		_ = c.Close()
	}
}

// start runs a request by itself.
func (s *subject) start(r request) {
	ctx, cancel := context.WithCancel(context.Background())
	if r.Args.Deadline != nil {
		timed, stop := context.WithTimeout(ctx, seconds(*r.Args.Deadline))
		parent := cancel
		ctx, cancel = timed, func() { parent(); stop() }
	}
	// Cancelling finds the request even if it comes right after it.
	s.mu.Lock()
	s.running[string(r.ID)] = cancel
	s.mu.Unlock()
	s.tasks.Go(func() {
		do, known := operations[r.Op]
		var res result
		err := errUnsupported
		if known {
			res, err = do(s, ctx, &r.Args)
		}
		s.mu.Lock()
		delete(s.running, string(r.ID))
		s.mu.Unlock()
		cancel()
		s.reply(r.ID, res.ok, err)
		if err == nil && res.after != nil {
			res.after()
		}
	})
}

func (s *subject) reply(id json.RawMessage, ok map[string]any, err error) {
	if id == nil {
		id = json.RawMessage("null")
	}
	line := map[string]any{"id": id}
	if err != nil {
		line["error"] = errorOf(err)
	} else {
		if ok == nil {
			ok = map[string]any{}
		}
		line["ok"] = ok
	}
	s.write(line)
}

// event reports something that happened to what a request has named.
func (s *subject) event(on string, fields map[string]any) {
	s.write(map[string]any{"on": on, "event": fields})
}

func (s *subject) write(line map[string]any) {
	s.outMu.Lock()
	defer s.outMu.Unlock()
	if err := s.out.Encode(line); err != nil {
		slog.Error("writing failed", "error", err)
	}
}

func errorOf(err error) map[string]any {
	if err == errUnsupported {
		return map[string]any{"kind": "unsupported", "name": "", "retry": false, "maybe": false, "text": "unknown op"}
	}
	var e *client.Error
	if !errors.As(err, &e) {
		return map[string]any{"kind": "", "name": "", "retry": false, "maybe": false, "text": "not an error of the client: " + err.Error()}
	}
	fields := map[string]any{"kind": e.Kind, "name": e.Name, "retry": e.Retry, "maybe": e.Maybe, "text": err.Error()}
	if e.Kind == client.KindCompacted {
		fields["revision"] = e.Revision
	}
	return fields
}

// name keeps what a request has made.
func (s *subject) name(as string, value any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.named[as] = value
}

// find returns what a former request has named.
func find[T any](s *subject, name string) (T, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	value, ok := s.named[name].(T)
	if !ok {
		return value, &client.Error{Kind: client.KindInvalid, Text: "nothing of this kind is named " + name}
	}
	return value, nil
}

func all[T any](s *subject) []T {
	s.mu.Lock()
	defer s.mu.Unlock()
	var values []T
	for _, value := range s.named {
		if value, ok := value.(T); ok {
			values = append(values, value)
		}
	}
	return values
}

func seconds(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }
