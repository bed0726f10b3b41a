package main

import (
	"encoding/json"

	"conclave.dev/client"
)

// args are the arguments of all operations.
type args struct {
	ID       json.RawMessage `json:"id"`
	Deadline *float64        `json:"deadline"`
	As       string          `json:"as"`

	Client, Session, Watch, Mutex, RWLock, Semaphore, Election, Observe, Item, Group, Cache string

	Endpoints                    []string
	User, Password, CACert, Cert string
	Key                          string
	Timeout                      float64

	Value, Prefix, Name, Owner, Member, Service, Address, From, To string
	FromRevision, Revision, Token, AtLeast                         *int64
	Lease                                                          string
	Serializable, Try                                              bool
	If                                                             []compare
	Then, Else                                                     []step
	TTL, Delay                                                     float64
	Permits, Count, Priority                                       int
	Delta, Amount                                                  int64
}

type compare struct {
	Key, Target, Is string
	Than            json.RawMessage
}

type step struct {
	Put    *struct{ Key, Value string }
	Delete *struct{ Key string }
	Get    *struct{ Key string }
}

// UnmarshalJSON reads the arguments; "from" is a revision or a key, depending on the operation.
func (a *args) UnmarshalJSON(line []byte) error {
	type plain args
	mixed := struct {
		*plain
		From         json.RawMessage `json:"from"`
		AtLeastSnake *int64          `json:"at_least"`
	}{plain: (*plain)(a)}
	if err := json.Unmarshal(line, &mixed); err != nil {
		return err
	}
	a.AtLeast = mixed.AtLeastSnake
	if len(mixed.From) > 0 && mixed.From[0] == '"' {
		return json.Unmarshal(mixed.From, &a.From)
	}
	if len(mixed.From) > 0 {
		return json.Unmarshal(mixed.From, &a.FromRevision)
	}
	return nil
}

// compare returns the client's comparison.
func (c compare) of() (client.Compare, error) {
	relations := map[string]client.Relation{"=": client.Equal, "!=": client.NotEqual, "<": client.Less, ">": client.Greater}
	is, known := relations[c.Is]
	if !known {
		return nil, &client.Error{Kind: client.KindInvalid, Text: "unknown relation " + c.Is}
	}
	if c.Target == "value" {
		var than string
		err := json.Unmarshal(c.Than, &than)
		return client.Value(c.Key, is, than), err
	}
	var than int64
	if err := json.Unmarshal(c.Than, &than); err != nil {
		return nil, &client.Error{Kind: client.KindInvalid, Text: err.Error()}
	}
	switch c.Target {
	case "create_revision":
		return client.Create(c.Key, is, than), nil
	case "mod_revision":
		return client.Mod(c.Key, is, than), nil
	case "version":
		return client.Version(c.Key, is, than), nil
	}
	return nil, &client.Error{Kind: client.KindInvalid, Text: "unknown target " + c.Target}
}

func operationsOf(steps []step) []client.Operation {
	var ops []client.Operation
	for _, step := range steps {
		switch {
		case step.Put != nil:
			ops = append(ops, client.OpPut(step.Put.Key, step.Put.Value))
		case step.Delete != nil:
			ops = append(ops, client.OpDelete(step.Delete.Key))
		case step.Get != nil:
			ops = append(ops, client.OpGet(step.Get.Key))
		}
	}
	return ops
}
