package client

import "context"

// Once runs f if nobody has run it under this name, and returns its result, which is the same for all (K17).
// ran says whether it was this call that ran f. Others wait meanwhile, and run it if this one fails or is lost
// before its result is written; so f may begin more than once, but only one result counts.
func Once(ctx context.Context, s *Session, name string, f func(ctx context.Context) (string, error)) (result string, ran bool, err error) {
	if name == "" {
		return "", false, invalid("what runs once has no name")
	}
	done := name + "/done"
	result, isDone, err := onceResult(ctx, s, done)
	if err != nil || isDone {
		return result, false, err
	}
	lock, err := NewMutex(s, name+"/lock").Lock(ctx)
	if err != nil {
		return "", false, err
	}
	defer func() {
		// It goes with the session if this fails.
		_ = lock.Unlock(context.WithoutCancel(ctx))
	}()
	result, isDone, err = onceResult(ctx, s, done)
	if err != nil || isDone {
		return result, false, err
	}
	holding, cancel := lock.Context(ctx)
	defer cancel()
	if result, err = f(holding); err != nil {
		return "", true, err
	}
	response, err := s.client.Txn().
		If(lock.Owner(), Create(done, Equal, 0)).
		Then(OpPut(done, result)).
		Else(OpGet(done)).
		settle(ctx)
	if err != nil {
		return "", true, err
	}
	if response.Succeeded {
		return result, true, nil
	}
	if kvs := kvsOf(response, 0); len(kvs) > 0 {
		// It is ours, if the answer to it was lost; or it is of somebody who got the lock after we lost it.
		written := string(kvs[0].Value)
		return written, written == result, nil
	}
	return "", true, ErrSessionLost.because(nil, "the lock was lost before the result was written")
}

func onceResult(ctx context.Context, s *Session, done string) (string, bool, error) {
	response, err := s.client.Txn().Then(OpGet(done)).settle(ctx)
	if err != nil {
		return "", false, err
	}
	kvs := kvsOf(response, 0)
	if len(kvs) == 0 {
		return "", false, nil
	}
	return string(kvs[0].Value), true, nil
}
