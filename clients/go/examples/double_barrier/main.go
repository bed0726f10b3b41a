// Command double_barrier begins and ends together with another session.
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
	other, err := c.NewSession(ctx, 10*time.Second)
	if err != nil {
		return err
	}
	done := make(chan error)
	for _, s := range []*client.Session{session, other} {
		go func() {
			barrier := client.NewDoubleBarrier(s, "example/double_barrier", 2)
			if err := barrier.Enter(ctx); err != nil {
				done <- err
				return
			}
			fmt.Println("both have entered")
			done <- barrier.Leave(ctx)
		}()
	}
	for range 2 {
		if err := <-done; err != nil {
			return err
		}
	}
	return nil
}
