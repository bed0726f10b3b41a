// Command stm moves a number from one key to another, atomically.
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
	for key, value := range map[string]string{"example/stm/a": "10", "example/stm/b": "0"} {
		if _, err := c.Put(ctx, key, value); err != nil {
			return err
		}
	}
	_, err = c.STM(ctx, func(tx *client.STM) error {
		value, _, err := tx.Get("example/stm/a")
		if err != nil {
			return err
		}
		tx.Put("example/stm/a", "0")
		tx.Put("example/stm/b", value)
		return nil
	})
	if err != nil {
		return err
	}
	response, err := c.Get(ctx, "example/stm/b")
	if err != nil {
		return err
	}
	fmt.Println("moved:", string(response.Kvs[0].Value))
	return nil
}
