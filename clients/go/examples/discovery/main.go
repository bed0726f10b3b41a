// Command discovery registers a service; gRPC finds it.
package main

import (
	"context"
	"fmt"
	"log"
	"time"

	"conclave.dev/client"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
)

func main() {
	if err := run(context.Background()); err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context) error {
	c, err := client.FromEnv()
	if err != nil {
		return err
	}
	defer c.Close()
	session, err := c.NewSession(ctx, 10*time.Second)
	if err != nil {
		return err
	}
	service := client.NewService(c, "example/service")
	if _, err := service.Register(ctx, session, "127.0.0.1:8080", map[string]int{"weight": 1}); err != nil {
		return err
	}
	addresses, err := service.List(ctx)
	if err != nil {
		return err
	}
	for _, a := range addresses {
		fmt.Println(a.Address, string(a.Metadata))
	}
	// Calls of this connection go to the addresses that are registered at the time.
	conn, err := grpc.NewClient("conclave:///example/service",
		grpc.WithResolvers(client.NewResolver(c)), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return err
	}
	defer conn.Close()
	return nil
}
