// Command semaphore takes one of two permits.
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
	permit, err := client.NewSemaphore(session, "example/semaphore", 2).Acquire(ctx)
	if err != nil {
		return err
	}
	fmt.Println("holding a permit:", permit.Held())
	if err := permit.Unlock(ctx); err != nil {
		return err
	}
	return nil
}
