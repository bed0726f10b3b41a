// Command session keeps a lease alive and prints what becomes of it.
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
	stop := session.Listen(func(state client.State) { fmt.Println("the session is", state) })
	defer stop()
	// The key goes with the session.
	if _, err := c.Put(ctx, "example/here", "yes", client.WithLease(session.Lease())); err != nil {
		return err
	}
	if err := session.Close(ctx); err != nil {
		return err
	}
	response, err := c.Get(ctx, "example/here")
	if err != nil {
		return err
	}
	fmt.Println("keys that are left:", len(response.Kvs))
	return nil
}
