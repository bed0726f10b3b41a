package main

import (
	"encoding/json"
	"testing"

	"conclave.dev/client/internal/testserver"
)

func TestTheSubjectKnowsEveryRecipe(t *testing.T) {
	member := testserver.Start(t, 1)[0]
	d := start(t)
	d.do("client.open", o{"as": "c", "endpoints": []string{member.Address}})
	d.do("session.open", o{"client": "c", "as": "s", "ttl": 10})
	d.do("session.open", o{"client": "c", "as": "s2", "ttl": 10})
	for _, step := range []struct {
		op   string
		args o
		want string
	}{
		{"rwlock.read", o{"session": "s", "as": "r", "name": "rw"}, ""},
		{"rwlock.write", o{"session": "s2", "as": "w", "name": "rw", "try": true}, `{"held":false}`},
		{"rwlock.unlock", o{"rwlock": "r"}, `{}`},
		{"semaphore.acquire", o{"session": "s", "as": "p", "name": "sem", "permits": 1}, ""},
		{"semaphore.acquire", o{"session": "s2", "as": "p2", "name": "sem", "permits": 1, "try": true}, `{"held":false}`},
		{"semaphore.release", o{"semaphore": "p"}, `{}`},
		{"election.leader", o{"client": "c", "name": "e"}, `{"found":false}`},
		{"election.campaign", o{"session": "s", "as": "e", "name": "e", "value": "v"}, ""},
		{"election.proclaim", o{"election": "e", "value": "v2"}, `{}`},
		{"election.contenders", o{"client": "c", "name": "e"}, `{"values":["v2"]}`},
		{"election.observe", o{"client": "c", "as": "ob", "name": "e"}, `{}`},
		{"observe.close", o{"observe": "ob"}, `{}`},
		{"election.resign", o{"election": "e"}, `{}`},
		{"barrier.hold", o{"client": "c", "name": "b"}, `{}`},
		{"barrier.release", o{"client": "c", "name": "b"}, `{}`},
		{"barrier.wait", o{"client": "c", "name": "b"}, `{}`},
		{"double_barrier.enter", o{"session": "s", "name": "d", "count": 1}, `{}`},
		{"double_barrier.leave", o{"session": "s", "name": "d", "count": 1}, `{}`},
		{"latch.create", o{"client": "c", "name": "l", "count": 1}, `{"created":true}`},
		{"latch.count_down", o{"client": "c", "name": "l"}, `{"count":0}`},
		{"latch.wait", o{"client": "c", "name": "l"}, `{}`},
		{"queue.put", o{"client": "c", "name": "q", "value": "i"}, `{}`},
		{"queue.take", o{"session": "s", "as": "i", "name": "q"}, `{"value":"i"}`},
		{"queue.release", o{"item": "i"}, `{"done":true}`},
		{"queue.ack", o{"item": "i"}, `{"done":false}`},
		{"counter.add", o{"client": "c", "name": "n", "delta": -3}, `{"value":-3}`},
		{"counter.get", o{"client": "c", "name": "n"}, `{"value":-3}`},
		{"value.get", o{"client": "c", "name": "v"}, `{"found":false,"revision":0,"value":""}`},
		{"value.compare_and_set", o{"client": "c", "name": "v", "revision": 0, "value": "x"}, ""},
		{"group.join", o{"session": "s", "as": "g", "name": "g", "member": "m", "value": "v"}, `{}`},
		{"group.members", o{"client": "c", "name": "g"}, `{"members":{"m":"v"}}`},
		{"group.leave", o{"group": "g"}, `{}`},
		{"service.register", o{"session": "s", "as": "a", "service": "svc", "address": "h:1"}, `{}`},
		{"service.list", o{"client": "c", "service": "svc"}, `{"addresses":["h:1"]}`},
		{"put", o{"client": "c", "key": "k/a", "value": "1"}, ""},
		{"cache.open", o{"client": "c", "as": "k", "prefix": "k/"}, ""},
		{"cache.get", o{"cache": "k", "key": "k/a", "at_least": 2}, `{"found":true,"value":"1"}`},
		{"cache.list", o{"cache": "k"}, `{"kvs":{"k/a":"1"}}`},
		{"cache.close", o{"cache": "k"}, `{}`},
		{"stm.transfer", o{"client": "c", "from": "x", "to": "y", "amount": 5}, `{"from":-5,"to":5}`},
		{"once.run", o{"session": "s", "name": "o", "value": "r"}, `{"ran":true,"value":"r"}`},
		{"owner.put", o{"client": "c", "owner": "none", "token": 3, "key": "z", "value": ""}, `{"succeeded":false}`},
		{"list", o{"client": "c", "prefix": "none"}, ""},
		{"delete_prefix", o{"client": "c", "prefix": "k/"}, ""},
		{"session.state", o{"session": "s"}, `{"state":"CONNECTED"}`},
		{"session.close", o{"session": "s"}, `{}`},
		{"client.close", o{"client": "c"}, `{}`},
	} {
		got, _ := json.Marshal(d.do(step.op, step.args))
		if step.want != "" && string(got) != step.want {
			t.Fatalf("%s: %s", step.op, got)
		}
	}
	if left := d.do("leftovers", nil); left["count"] != 0.0 {
		t.Fatal(left)
	}
}
