// Command group joins a group and lists its members.
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
	group := client.NewGroup(c, "example/group")
	if _, err := group.Join(ctx, session, "me", "ready"); err != nil {
		return err
	}
	members, err := group.Members(ctx)
	if err != nil {
		return err
	}
	fmt.Println("members:", members)
	return nil
}
