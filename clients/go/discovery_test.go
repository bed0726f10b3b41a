package client

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/peer"
)

func TestAServiceHasItsAddresses(t *testing.T) {
	t.Parallel()
	c, _ := server(t)
	s := open(t, c, 10*time.Second)
	service := NewService(c, "payments")
	registered := must(service.Register(patient(t), s, "10.0.0.2:80", map[string]int{"weight": 3}))(t)
	must(service.Register(patient(t), s, "10.0.0.1:80", nil))(t)
	must(c.Put(patient(t), "payments/bad", "no JSON"))(t)
	list := must(service.List(patient(t)))(t)
	if text, _ := json.Marshal(list); string(text) != `[{"Address":"10.0.0.1:80","Metadata":null},{"Address":"10.0.0.2:80","Metadata":{"weight":3}}]` {
		t.Fatal(string(text))
	}
	if kv := must(c.Get(patient(t), "payments/10.0.0.1:80"))(t).Kvs[0]; string(kv.Value) != `{"Op":0,"Addr":"10.0.0.1:80","Metadata":null}` {
		t.Fatal(string(kv.Value))
	}
	changes := make(chan []Address, 10)
	stop := must(service.Listen(t.Context(), func(list []Address) { changes <- list }))(t)
	if got := receive(t, changes); len(got) != 2 {
		t.Fatal(got)
	}
	if err := registered.Leave(patient(t)); err != nil {
		t.Fatal(err)
	}
	if got := receive(t, changes); len(got) != 1 {
		t.Fatal(got)
	}
	stop()
}

// serve starts a gRPC server of the health service, and returns its address.
func serve(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := grpc.NewServer()
	grpc_health_v1.RegisterHealthServer(server, health.NewServer())
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = server.Serve(listener)
	}()
	t.Cleanup(func() {
		server.Stop()
		<-done
	})
	return listener.Addr().String()
}

func TestGRPCFindsAService(t *testing.T) {
	t.Parallel()
	c, _ := server(t)
	s := open(t, c, 10*time.Second)
	service := NewService(c, "health")
	first, second := serve(t), serve(t)
	registered := must(service.Register(patient(t), s, first, nil))(t)
	conn, err := grpc.NewClient("conclave:///health", grpc.WithResolvers(NewResolver(c)),
		grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	answers := func() string {
		var from peer.Peer
		_, err := grpc_health_v1.NewHealthClient(conn).Check(patient(t), &grpc_health_v1.HealthCheckRequest{}, grpc.Peer(&from), grpc.WaitForReady(true))
		if err != nil {
			t.Fatal(err)
		}
		return fmt.Sprint(from.Addr)
	}
	if got := answers(); got != first {
		t.Fatal(got)
	}
	must(service.Register(patient(t), s, second, nil))(t)
	if err := registered.Leave(patient(t)); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the other one answers", func() bool { return answers() == second })

	bad, err := grpc.NewClient("conclave:///", grpc.WithResolvers(NewResolver(c)), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err == nil {
		_, err = grpc_health_v1.NewHealthClient(bad).Check(context.Background(), &grpc_health_v1.HealthCheckRequest{})
		_ = bad.Close()
	}
	if err == nil {
		t.Fatal("a target without a service is accepted")
	}
}
