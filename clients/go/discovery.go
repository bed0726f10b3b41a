package client

import (
	"context"
	"encoding/json"
	"slices"
	"strings"

	"conclave.dev/client/api"
)

// Service is a set of addresses, each for as long as its session lives (K14). It is shared with etcd's Go
// client, whose package naming/endpoints has the same keys and values.
type Service struct {
	client *Client
	name   string
}

// Address is one of a service.
type Address struct {
	Address string
	// Metadata is JSON, or nil.
	Metadata json.RawMessage
}

// record is an address as etcd writes it.
type record struct {
	Op       int
	Addr     string
	Metadata json.RawMessage
}

// NewService returns the service of this name.
func NewService(c *Client, name string) *Service { return &Service{client: c, name: name} }

// Register adds an address, "host:port". Its metadata is anything that becomes JSON, or nil. An address of a
// former process is replaced. Leave removes it.
func (s *Service) Register(ctx context.Context, session *Session, address string, metadata any) (*Membership, error) {
	if s.name == "" || address == "" {
		return nil, invalid("a service has a name and an address, not %q and %q", s.name, address)
	}
	raw, err := json.Marshal(metadata)
	if err != nil {
		return nil, invalid("the metadata cannot be written as JSON: %v", err)
	}
	value, err := json.Marshal(record{Addr: address, Metadata: raw})
	if err != nil {
		return nil, invalid("the address %q cannot be written as JSON: %v", address, err)
	}
	return session.become(ctx, "address", s.name+"/"+address, string(value))
}

// List returns the addresses, sorted.
func (s *Service) List(ctx context.Context) ([]Address, error) {
	if s.name == "" {
		return nil, invalid("the service has no name")
	}
	response, err := s.client.Get(ctx, s.name+"/", WithPrefix())
	if err != nil {
		return nil, err
	}
	return addresses(slices.Values(response.Kvs)), nil
}

// Listen calls f with the addresses now, and after each change, of which those are merged that come while f
// runs. It ends with ctx, or by stop.
func (s *Service) Listen(ctx context.Context, f func([]Address)) (stop func(), err error) {
	if s.name == "" {
		return nil, invalid("the service has no name")
	}
	return s.client.listen(ctx, func(kvs map[string]*api.KeyValue) { f(addressesOf(kvs)) }, s.name+"/", WithPrefix())
}

func addressesOf(kvs map[string]*api.KeyValue) []Address {
	return addresses(func(yield func(*api.KeyValue) bool) {
		for _, kv := range kvs {
			if !yield(kv) {
				return
			}
		}
	})
}

// addresses reads the records, and leaves out what is none.
func addresses(kvs func(func(*api.KeyValue) bool)) []Address {
	list := []Address{}
	for kv := range kvs {
		var r record
		if json.Unmarshal(kv.Value, &r) != nil || r.Addr == "" {
			continue
		}
		if string(r.Metadata) == "null" {
			r.Metadata = nil
		}
		list = append(list, Address{Address: r.Addr, Metadata: r.Metadata})
	}
	slices.SortFunc(list, func(a, b Address) int { return strings.Compare(a.Address, b.Address) })
	return list
}
