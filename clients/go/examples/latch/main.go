// Command latch waits until a number of steps are done.
package main

import (
	"context"
	"fmt"
	"log"

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
	latch := client.NewLatch(c, "example/latch")
	if _, err := latch.Create(ctx, 2); err != nil {
		return err
	}
	for range 2 {
		left, err := latch.CountDown(ctx)
		if err != nil {
			return err
		}
		fmt.Println("left:", left)
	}
	if err := latch.Wait(ctx); err != nil {
		return err
	}
	if _, err := c.Delete(ctx, "example/latch"); err != nil {
		return err
	}
	return nil
}
