package client

import (
	"bufio"
	"context"
	"errors"
	"os"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// The table in the repository is the one that the errors were generated from.
func TestEveryErrorIsInTheTable(t *testing.T) {
	t.Parallel()
	file, err := os.Open("../../proto/errors.tsv")
	if errors.Is(err, os.ErrNotExist) {
		t.Skip("the module is outside of its repository")
	}
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	lines := bufio.NewScanner(file)
	lines.Scan()
	n := 0
	for ; lines.Scan(); n++ {
		column := strings.Split(lines.Text(), "\t")
		e := fromStatus(status.Error(codes.Unknown, column[5]), true)
		if e.Kind != KindAPI || e.Name != column[0] || e.Code.String() != column[1] ||
			e.Retry != (column[3] == "yes") || e.Maybe != (column[4] == "yes") {
			t.Fatal(lines.Text(), e)
		}
		if printed := apiError("rpc error: code = Unknown desc = " + column[5]); printed.Name != column[0] {
			t.Fatal(printed)
		}
		if fromStatus(status.Error(codes.Unknown, column[5]), false).Maybe {
			t.Fatal("a read has changed something")
		}
	}
	if n != len(apiErrors) {
		t.Fatal(n, len(apiErrors))
	}
}

func TestUnknownStatusesHaveAKind(t *testing.T) {
	t.Parallel()
	for code, want := range map[codes.Code][2]Kind{
		codes.Unavailable:       {KindMaybe, KindUnavailable},
		codes.Unknown:           {KindMaybe, KindUnavailable},
		codes.Internal:          {KindMaybe, KindUnavailable},
		codes.Aborted:           {KindMaybe, KindUnavailable},
		codes.DataLoss:          {KindMaybe, KindUnavailable},
		codes.DeadlineExceeded:  {KindMaybe, KindDeadline},
		codes.Canceled:          {KindMaybe, KindDeadline},
		codes.ResourceExhausted: {KindAPI, KindAPI},
		codes.Unimplemented:     {KindAPI, KindAPI},
	} {
		for i, isWrite := range []bool{true, false} {
			e := fromStatus(status.Error(code, "something"), isWrite)
			if e.Kind != want[i] || e.Name != "" || e.Maybe != (e.Kind == KindMaybe) {
				t.Fatal(code, isWrite, e)
			}
		}
	}
}

func TestErrorsAreComparedByKindAndByName(t *testing.T) {
	t.Parallel()
	err := error(ErrUnavailable.because(context.DeadlineExceeded, "why"))
	if !errors.Is(err, ErrUnavailable) || errors.Is(err, ErrDeadline) || !errors.Is(err, context.DeadlineExceeded) {
		t.Fatal(err)
	}
	denied := error(fromStatus(status.Error(codes.PermissionDenied, ErrPermissionDenied.Text), true))
	if !errors.Is(denied, ErrPermissionDenied) || errors.Is(denied, ErrNoSpace) {
		t.Fatal(denied)
	}
	compacted := error(&Error{Kind: KindCompacted, Name: ErrCompacted.Name})
	if !errors.Is(compacted, ErrCompacted) {
		t.Fatal(compacted)
	}
}

func TestWhatIsKnownNotToBeExecutedGoesElsewhere(t *testing.T) {
	t.Parallel()
	read, write := callOf{isRead: true}, callOf{}
	for _, c := range []struct {
		of       callOf
		err      error
		sent     bool
		isSilent bool
		kind     Kind
		canMove  bool
	}{
		{write, ErrNoLeader, true, false, KindAPI, true},
		{write, ErrRequestTooManyRequests, true, false, KindAPI, true},
		{write, ErrTimeout, true, false, KindAPI, false},
		{write, ErrElectionNoLeader, true, false, KindAPI, false},
		{read, ErrTimeout, true, false, KindAPI, true},
		{read, ErrEmptyKey, true, false, KindAPI, false},
		{write, status.Error(codes.Unavailable, "broken"), true, false, KindMaybe, false},
		{write, status.Error(codes.Unavailable, "broken"), false, false, KindUnavailable, true},
		{read, status.Error(codes.Unavailable, "broken"), true, false, KindUnavailable, true},
		{read, status.Error(codes.Internal, "broken"), true, false, KindUnavailable, false},
		{write, status.Error(codes.DeadlineExceeded, "late"), true, false, KindMaybe, false},
		{read, status.Error(codes.Canceled, "late"), true, false, KindDeadline, true},
		{read, status.Error(codes.Canceled, ""), true, true, KindUnavailable, true},
		{write, status.Error(codes.Canceled, ""), false, true, KindUnavailable, true},
		{write, status.Error(codes.Canceled, ""), true, true, KindMaybe, false},
		{write, status.Error(codes.Aborted, "broken"), true, false, KindMaybe, false},
		{write, status.Error(codes.DataLoss, "broken"), false, false, KindUnavailable, false},
		{read, status.Error(codes.DataLoss, "broken"), true, false, KindUnavailable, false},
	} {
		var known *Error
		if errors.As(c.err, &known) {
			c.err = status.Error(known.Code, known.Text)
		}
		failure, canMove := judge(c.of, attempt{err: c.err, sent: c.sent, isSilent: c.isSilent})
		if failure.Kind != c.kind || canMove != c.canMove {
			t.Errorf("%+v: %v %v", c, failure.Kind, canMove)
		}
	}
}
