package core

import (
	"testing"
	"time"

	"github.com/containerd/containerd/v2/core/containers"
	"google.golang.org/protobuf/types/known/anypb"
)

// A record that another client wrote need not have what libcontainerd's have.
func TestInfoOfARecordWithLittleInIt(t *testing.T) {
	for name, spec := range map[string]*anypb.Any{"no JSON": {Value: []byte("\x00")}, "nothing": {}} {
		result, err := asJSON(infoOf(containers.Container{ID: "a", Spec: spec, CreatedAt: time.Unix(5, 7)}))
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		const want = `{"id":"a","labels":{},"image":"","runtime":"","snapshotter":"","snapshot_key":"","sandbox_id":"",` +
			`"created_at":[5,7],"updated_at":[0,0],"spec":null,"extensions":{}}`
		if got := string(result.Data); got != want {
			t.Errorf("spec is %s: got %s", name, got)
		}
	}
}
