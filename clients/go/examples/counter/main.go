// Command counter adds to a number that all share.
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
	value, err := client.NewCounter(c, "example/counter").Add(ctx, 1)
	if err != nil {
		return err
	}
	fmt.Println("the counter is positive:", value > 0)
	return nil
}
