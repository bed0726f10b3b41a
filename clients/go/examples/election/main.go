// Command election does something while it leads.
package main

import (
	"context"
	"fmt"
	"log"
	"time"

	"conclave.dev/client"
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
	err = client.NewElection(session, "example/election").Run(ctx, "me", func(ctx context.Context, l *client.Leadership) error {
		leader, err := client.CurrentLeader(ctx, c, "example/election")
		if err != nil {
			return err
		}
		// ctx ends when the leadership does.
		fmt.Println("the leader is", leader.Value)
		return ctx.Err()
	})
	if err != nil {
		return err
	}
	return nil
}
