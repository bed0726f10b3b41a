// Command once does something that must be done once, by whoever comes first.
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
	result, _, err := client.Once(ctx, session, "example/once", func(context.Context) (string, error) {
		return "initialized", nil
	})
	if err != nil {
		return err
	}
	fmt.Println("the result of all:", result)
	return nil
}
