package client

import (
	"context"

	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"

	"conclave.dev/client/api"
)

// conn sends the calls of generated stubs by the client's rules.
type conn struct{ client *Client }

// Invoke implements grpc.ClientConnInterface.
func (c conn) Invoke(ctx context.Context, method string, request, reply any, options ...grpc.CallOption) error {
	return c.client.call(ctx, callOf{method: method, isRead: isRead(method, request), options: options}, request, reply)
}

// NewStream implements grpc.ClientConnInterface.
func (c conn) NewStream(ctx context.Context, desc *grpc.StreamDesc, method string, options ...grpc.CallOption) (grpc.ClientStream, error) {
	if c.client.ctx.Err() != nil {
		return nil, fromContext(c.client.ctx)
	}
	token, err := c.client.token(ctx, callOf{method: method})
	if err != nil {
		return nil, err
	}
	return c.client.rotation.begin().pick().NewStream(withToken(ctx, token), desc, method, options...)
}

// withToken adds a token to what is sent with a call.
func withToken(ctx context.Context, token *string) context.Context {
	if token == nil || *token == "" {
		return ctx
	}
	return metadata.AppendToOutgoingContext(ctx, "token", *token)
}

// isRead reports whether a call changes nothing, so that it can be sent again (R2).
func isRead(method string, request any) bool {
	switch method {
	case api.KV_Range_FullMethodName, api.Lease_LeaseTimeToLive_FullMethodName, api.Lease_LeaseLeases_FullMethodName,
		api.Cluster_MemberList_FullMethodName, api.Maintenance_Status_FullMethodName, api.Maintenance_HashKV_FullMethodName:
		return true
	case api.KV_Txn_FullMethodName:
		txn, ok := request.(*api.TxnRequest)
		return ok && onlyReads(txn)
	}
	return false
}

func onlyReads(txn *api.TxnRequest) bool {
	for _, list := range [][]*api.RequestOp{txn.Success, txn.Failure} {
		for _, op := range list {
			switch op := op.Request.(type) {
			case *api.RequestOp_RequestRange:
			case *api.RequestOp_RequestTxn:
				if !onlyReads(op.RequestTxn) {
					return false
				}
			default:
				return false
			}
		}
	}
	return true
}
