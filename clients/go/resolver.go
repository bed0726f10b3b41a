package client

import (
	"context"
	"strings"

	"google.golang.org/grpc/attributes"
	"google.golang.org/grpc/resolver"
)

// Scheme is that of NewResolver's targets.
const Scheme = "conclave"

// metadataKey is under which the attributes of an address have its metadata.
type metadataKey struct{}

// MetadataOf returns the metadata of an address that NewResolver's resolver has found, as JSON.
func MetadataOf(address resolver.Address) string {
	text, _ := address.Attributes.Value(metadataKey{}).(string)
	return text
}

// NewResolver returns what makes gRPC find the addresses of a Service, and follow their changes:
//
//	grpc.NewClient("conclave:///payments", grpc.WithResolvers(client.NewResolver(c)), …)
func NewResolver(c *Client) resolver.Builder { return resolverBuilder{c} }

type resolverBuilder struct{ client *Client }

func (resolverBuilder) Scheme() string { return Scheme }

// Build implements resolver.Builder.
func (b resolverBuilder) Build(target resolver.Target, conn resolver.ClientConn, _ resolver.BuildOptions) (resolver.Resolver, error) {
	name := strings.TrimPrefix(target.URL.Path, "/")
	if name == "" {
		return nil, invalid("the target %q has no service: write %s:///service", target.URL.String(), Scheme)
	}
	ctx, cancel := context.WithCancel(context.Background())
	r := &serviceResolver{cancel: cancel, ended: make(chan struct{})}
	if !b.client.spawn(func(context.Context) { r.run(ctx, NewService(b.client, name), conn) }) {
		cancel()
		return nil, closed("client")
	}
	return r, nil
}

type serviceResolver struct {
	cancel context.CancelFunc
	ended  chan struct{}
}

// run tells gRPC the addresses until ctx ends. As long as they cannot be read, gRPC keeps those it has.
func (r *serviceResolver) run(ctx context.Context, s *Service, conn resolver.ClientConn) {
	defer close(r.ended)
	ctx, cancel := s.client.join(ctx)
	defer cancel()
	for pause := roundPauseMin; ctx.Err() == nil; pause = min(2*pause, roundPauseMax) {
		m, err := s.client.follow(ctx, s.name+"/")
		if err == nil {
			pause = roundPauseMin
			for range m.changed {
				r.update(conn, addressesOf(m.snapshot()))
			}
			err = m.err()
		}
		if err != nil {
			conn.ReportError(err)
		}
		pausing(ctx, pause, nil)
	}
}

func (r *serviceResolver) update(conn resolver.ClientConn, list []Address) {
	state := resolver.State{}
	for _, a := range list {
		endpoint := resolver.Address{Addr: a.Address, Attributes: attributes.New(metadataKey{}, string(a.Metadata))}
		state.Addresses = append(state.Addresses, endpoint)
		state.Endpoints = append(state.Endpoints, resolver.Endpoint{Addresses: []resolver.Address{endpoint}})
	}
	// gRPC refuses a state without addresses, and keeps that in mind by itself.
	_ = conn.UpdateState(state)
}

// ResolveNow implements resolver.Resolver: changes come by themselves.
func (r *serviceResolver) ResolveNow(resolver.ResolveNowOptions) {}

// Close implements resolver.Resolver.
func (r *serviceResolver) Close() {
	r.cancel()
	<-r.ended
}
