package client

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// Kind is what went wrong, in terms of what a caller can do about it. The kinds are the same in
// Conclave's clients of all languages.
type Kind string

const (
	// KindAPI is an error of the server; Error.Name has its name.
	KindAPI Kind = "api"
	// KindUnavailable means that no endpoint could be reached, or none was ready. Nothing happened.
	KindUnavailable Kind = "unavailable"
	// KindMaybe means that a write was sent and its answer was lost: it may have happened.
	KindMaybe Kind = "maybe"
	// KindDeadline means that the time was up, of a read or of waiting in a recipe.
	KindDeadline Kind = "deadline"
	// KindCancelled means that the caller's context was cancelled.
	KindCancelled Kind = "cancelled"
	// KindClosed means that the client, session or handle is closed.
	KindClosed Kind = "closed"
	// KindSessionLost means that the session of the recipe is lost.
	KindSessionLost Kind = "session_lost"
	// KindCompacted means that the next revision of a watch is compacted; Error.Revision is the
	// first one from which history exists.
	KindCompacted Kind = "compacted"
	// KindInvalid means that the arguments are wrong.
	KindInvalid Kind = "invalid"
	// KindLogin means that the user or the password was refused.
	KindLogin Kind = "login"
)

// Error is the type of every error that this package returns. Compare with errors.Is and the
// variables below (by kind) or those like ErrPermissionDenied (by the server's own error), or take
// it apart with errors.As.
type Error struct {
	Kind Kind
	// Name is the server's own error in proto/errors.tsv, or empty.
	Name string
	// Code is the gRPC code of the server's error, or OK.
	Code codes.Code
	// Retry says whether another attempt can help.
	Retry bool
	// Maybe says whether the call may have been executed.
	Maybe bool
	// Revision is set for KindCompacted.
	Revision int64
	// Text says what happened and what to do.
	Text string

	cause error
}

// The kinds of errors, for errors.Is.
var (
	ErrUnavailable   = &Error{Kind: KindUnavailable, Retry: true, Text: "no endpoint is available: check the endpoints, or try again later"}
	ErrMaybeHappened = &Error{Kind: KindMaybe, Retry: true, Maybe: true, Text: "the answer to a write was lost: read before writing again, since it may have happened"}
	ErrDeadline      = &Error{Kind: KindDeadline, Retry: true, Text: "the time was up: allow more, or try again later"}
	ErrCancelledCall = &Error{Kind: KindCancelled, Text: "cancelled by the caller"}
	ErrClosed        = &Error{Kind: KindClosed, Text: "closed: make a new one"}
	ErrSessionLost   = &Error{Kind: KindSessionLost, Text: "the session is lost: open a new one and begin again"}
	ErrInvalid       = &Error{Kind: KindInvalid, Text: "invalid arguments"}
	ErrLogin         = &Error{Kind: KindLogin, Text: "the login was refused: check the user's name and password"}
)

func (e *Error) Error() string { return "conclave: " + e.Text }

// Unwrap returns the error of gRPC or of the context, if there is one.
func (e *Error) Unwrap() error { return e.cause }

// Is makes an error equal to the variable for its kind, and to the one for its name. ErrCompacted
// stands for both the server's error and the end of a watch.
func (e *Error) Is(target error) bool {
	t, ok := target.(*Error)
	if !ok {
		return false
	}
	if t.Name != "" {
		return e.Name == t.Name
	}
	return e.Kind == t.Kind
}

// because returns a copy of the error with more text and a cause.
func (e *Error) because(cause error, format string, args ...any) *Error {
	c := *e
	c.cause = cause
	if format != "" {
		c.Text = fmt.Sprintf(format, args...) + ": " + e.Text
	}
	return &c
}

// named returns a copy of the error with the name and the code of the server's error behind it.
func (e *Error) named(name string, code codes.Code) *Error {
	c := *e
	c.Name, c.Code = name, code
	return &c
}

func invalid(format string, args ...any) error {
	e := *ErrInvalid
	e.Text = fmt.Sprintf(format, args...)
	return &e
}

func closed(what string) error {
	e := *ErrClosed
	e.Text = "the " + what + " is closed: make a new one"
	return &e
}

// fromContext turns the end of a context into an error of its own.
func fromContext(ctx context.Context) *Error {
	var own *Error
	if errors.As(context.Cause(ctx), &own) && (own.Kind == KindClosed || own.Kind == KindSessionLost) {
		// The cause is shared by all that the context ends. Each call says for itself whether it may
		// have been executed. An error of another kind is of another call, as in an errgroup.
		e := *own
		e.Maybe = false
		return &e
	}
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return ErrDeadline.because(ctx.Err(), "")
	}
	return ErrCancelledCall.because(ctx.Err(), "")
}

var apiErrorsByText = func() map[string]*Error {
	byText := make(map[string]*Error, len(apiErrors))
	for _, e := range apiErrors {
		byText[e.Text] = e
	}
	return byText
}()

// apiError looks up an error of the server by its text, or by the form in which Go's gRPC prints it,
// which is how a refused watch receives it.
func apiError(text string) *Error {
	if e := apiErrorsByText[text]; e != nil {
		return e
	}
	if _, desc, ok := strings.Cut(text, " desc = "); ok && strings.HasPrefix(text, "rpc error: ") {
		return apiErrorsByText[desc]
	}
	return nil
}

// fromStatus turns the status of a call that a server ended into an error (R4).
func fromStatus(err error, isWrite bool) *Error {
	s, _ := status.FromError(err)
	if known := apiError(s.Message()); known != nil {
		e := *known
		e.Maybe = e.Maybe && isWrite
		e.cause = err
		return &e
	}
	ofRead := ErrUnavailable
	switch s.Code() {
	case codes.Unavailable, codes.Unknown, codes.Internal, codes.Aborted, codes.DataLoss:
	case codes.DeadlineExceeded, codes.Canceled:
		ofRead = ErrDeadline // the server has a time limit of its own
	default:
		return &Error{Kind: KindAPI, Code: s.Code(), Text: s.Message(), cause: err}
	}
	if isWrite {
		return ErrMaybeHappened.because(err, "%s", s.Message())
	}
	return ofRead.because(err, "%s", s.Message())
}

// isRefusedToken reports whether a server refused a call for its token, or for having none. Such a
// call was not executed: the token is checked before a call begins, and the revision of users in it
// before the log's entry takes effect.
func isRefusedToken(e *Error) bool {
	switch e.Name {
	case ErrInvalidAuthToken.Name, ErrAuthOldRevision.Name, ErrUserEmpty.Name:
		return true
	}
	return false
}

// isNotExecuted reports whether the server's error of a write precedes its execution, and another
// endpoint may do better (R3). The election's "no leader" is an answer, the same at every endpoint.
func isNotExecuted(e *Error) bool {
	return e.Retry && !e.Maybe && e.Name != ErrElectionNoLeader.Name
}

// mayBe reports whether err says that a write may have happened.
func mayBe(err error) bool {
	var e *Error
	return errors.As(err, &e) && e.Maybe
}

// afterLoss returns the error of a write of which an earlier attempt may have been executed, when a
// later attempt has failed with err.
func afterLoss(err error) error {
	var e *Error
	if !errors.As(err, &e) || e.Maybe {
		return err
	}
	if e.Kind == KindCancelled || e.Kind == KindClosed {
		c := *e
		c.Maybe = true
		return &c
	}
	return ErrMaybeHappened.because(err, "%s", e.Text)
}

// isWorthAnother reports whether a call that can be made twice should be made again: the answer was
// lost, or no endpoint was ready.
func isWorthAnother(err error) bool {
	var e *Error
	if !errors.As(err, &e) {
		return false
	}
	switch e.Kind {
	case KindMaybe, KindUnavailable, KindDeadline:
		return true
	case KindAPI:
		return e.Retry
	}
	return false
}
