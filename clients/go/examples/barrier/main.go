// Command barrier holds others back until something is ready.
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
	barrier := client.NewBarrier(c, "example/barrier")
	if err := barrier.Hold(ctx); err != nil {
		return err
	}
	time.AfterFunc(100*time.Millisecond, func() {
		if err := barrier.Release(ctx); err != nil {
			log.Print(err)
		}
	})
	if err := barrier.Wait(ctx); err != nil {
		return err
	}
	fmt.Println("the barrier is down")
	return nil
}
