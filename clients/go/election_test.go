package client

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"conclave.dev/client/api"
)

func TestAnElectionHasOneLeader(t *testing.T) {
	t.Parallel()
	c, _ := server(t)
	a, b := open(t, c, 10*time.Second), open(t, c, 10*time.Second)
	if leader := must(CurrentLeader(patient(t), c, "e"))(t); leader != nil {
		t.Fatal(leader)
	}
	observer := must(ObserveLeader(patient(t), c, "e"))(t)
	first := must(NewElection(a, "e").Campaign(patient(t), "a1"))(t)
	if leader := receive(t, observer.Leaders()); leader.Value != "a1" || leader.Token != first.Token() || leader.Key != first.Key() {
		t.Fatal(leader)
	}
	next := make(chan *Leadership, 1)
	go func() {
		l, _ := NewElection(b, "e").Campaign(patient(t), "b1")
		next <- l
	}()
	eventually(t, "it waits", func() bool {
		return fmt.Sprint(must(ElectionContenders(patient(t), c, "e"))(t)) == "[a1 b1]"
	})
	if err := first.Proclaim(patient(t), "a2"); err != nil {
		t.Fatal(err)
	}
	if leader := receive(t, observer.Leaders()); leader.Value != "a2" || leader.Token != first.Token() {
		t.Fatal(leader)
	}
	if err := first.Resign(patient(t)); err != nil {
		t.Fatal(err)
	}
	if err := first.Proclaim(patient(t), "a3"); !errors.Is(err, ErrClosed) {
		t.Fatal(err)
	}
	second := receive(t, next)
	if leader := receive(t, observer.Leaders()); leader.Value != "b1" || second.Token() <= first.Token() {
		t.Fatal(leader)
	}
	must(c.Delete(patient(t), second.Key()))(t)
	if err := second.Proclaim(patient(t), "b2"); !errors.Is(err, ErrSessionLost) || second.Held() {
		t.Fatal(err)
	}
	observer.Close()
	if observer.Err() != nil {
		t.Fatal(observer.Err())
	}
}

func TestCampaigningAgainReplacesTheValue(t *testing.T) {
	t.Parallel()
	c, _ := server(t)
	e := NewElection(open(t, c, 10*time.Second), "e")
	first := must(e.Campaign(patient(t), "1"))(t)
	second := must(e.Campaign(patient(t), "2"))(t)
	leader := must(CurrentLeader(patient(t), c, "e"))(t)
	if leader.Value != "2" || first.Token() != second.Token() {
		t.Fatal(leader)
	}
}

func TestRunEndsWithTheLeadership(t *testing.T) {
	t.Parallel()
	c, _ := server(t)
	e := NewElection(open(t, c, 10*time.Second), "e")
	err := e.Run(patient(t), "v", func(ctx context.Context, l *Leadership) error {
		must(c.Delete(patient(t), l.Key()))(t)
		await(t, ctx.Done())
		return context.Cause(ctx)
	})
	if !errors.Is(err, ErrSessionLost) {
		t.Fatal(err)
	}
	bad := errors.New("bad")
	if err := e.Run(patient(t), "v", func(context.Context, *Leadership) error { return bad }); err != bad {
		t.Fatal(err)
	}
	if leader := must(CurrentLeader(patient(t), c, "e"))(t); leader != nil {
		t.Fatal(leader)
	}
}

func TestAnElectionIsSharedWithTheElectionCalls(t *testing.T) {
	t.Parallel()
	c, _ := server(t)
	thin, s := open(t, c, 10*time.Second), open(t, c, 10*time.Second)
	stub := api.NewElectionClient(c.Conn())
	leader := must(stub.Campaign(patient(t), &api.CampaignRequest{Name: []byte("e"), Lease: thin.Lease(), Value: []byte("thin")}))(t)
	if now := must(CurrentLeader(patient(t), c, "e"))(t); now.Value != "thin" || now.Token != leader.Leader.Rev {
		t.Fatal(now)
	}
	next := make(chan *Leadership, 1)
	go func() {
		l, _ := NewElection(s, "e").Campaign(patient(t), "ours")
		next <- l
	}()
	must(stub.Resign(patient(t), &api.ResignRequest{Leader: leader.Leader}))(t)
	receive(t, next)
	if now := must(stub.Leader(patient(t), &api.LeaderRequest{Name: []byte("e")}))(t); string(now.Kv.Value) != "ours" {
		t.Fatal(now)
	}
}
