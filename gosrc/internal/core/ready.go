package core

import (
	"context"
	"sync"
	"time"

	containerd "github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/core/events"
	"github.com/containerd/containerd/v2/pkg/namespaces"
	"github.com/google/uuid"
	"google.golang.org/protobuf/types/known/emptypb"
)

// readyEvents knows when a subscription is live. libcontainerd subscribes in the background, and gRPC does not say when the
// daemon has done its part, so early events could be lost unnoticed. Each subscription therefore also covers a namespace of its
// own, in which we publish probes until the first comes back. containerd has no other way to ask, and no event for just one
// subscriber. libcontainerd never sees the probes, nor does a subscriber that filters by namespace or topic, but one without
// filters, such as "ctr events", does. So a probe's topic says what it is, and its message is empty, which every containerd and
// ctr can decode.
type readyEvents struct {
	containerd.EventService // set once the connection exists
	once                    sync.Once
	ready                   chan struct{}
	left                    leftovers

	gap   func(loss) // called before the first event after a loss; set before the first subscription
	mu    sync.Mutex
	heard time.Time // when the last event came, or events were first asked for
	loss  *loss     // nil while events flow
}

// loss is why events don't flow. since is when that was noticed, at once; the last event, at heard, may be a while older.
type loss struct {
	since, heard time.Time
	cause        error
}

const probeTopic = "/pyctd/ready"

func newReadyEvents() *readyEvents { return &readyEvents{ready: make(chan struct{})} }

func (r *readyEvents) Subscribe(ctx context.Context, filters ...string) (<-chan *events.Envelope, <-chan error) {
	r.hear()
	namespace := "pyctd-" + uuid.NewString()
	envelopes, failed := r.EventService.Subscribe(ctx, append(filters, "namespace=="+namespace)...)
	out := make(chan *events.Envelope, 64) // buffered, so that a burst of events needs no goroutine switch for each
	seen := make(chan struct{})
	errs := make(chan error, 1)
	spawn(func() { r.probe(ctx, namespace, seen) })
	spawn(func() {
		defer close(errs)
		_, err := protect(func() (struct{}, error) { // libcontainerd resubscribes after a panic, as after any error
			return struct{}{}, r.carry(ctx, namespace, envelopes, failed, out, func() {
				close(seen)
				r.once.Do(func() { close(r.ready) })
			})
		})
		if err == nil {
			return
		}
		if ctx.Err() == nil {
			r.lose(err)
			// libcontainerd takes whichever comes first and drops the rest: let it take the events before the error.
			for len(out) > 0 && ctx.Err() == nil {
				time.Sleep(time.Millisecond)
			}
		}
		errs <- err
	})
	return out, errs
}

// carry hands envelopes over until there are no more, and returns why. It calls probed once, at the first probe.
func (r *readyEvents) carry(ctx context.Context, namespace string, envelopes <-chan *events.Envelope, failed <-chan error,
	out chan<- *events.Envelope, probed func()) error {
	flow, probe := sync.OnceFunc(r.flow), sync.OnceFunc(probed)
	for {
		select {
		case err := <-failed: // the last envelope has already been taken
			return err
		case envelope := <-envelopes:
			flow()
			r.hear()
			if envelope.Namespace == namespace {
				probe()
				continue
			}
			r.left.see(envelope)
			select {
			case out <- envelope:
			case <-ctx.Done():
				return <-failed
			}
		}
	}
}

// lose notes that events are being lost from now on.
func (r *readyEvents) lose(cause error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.loss == nil {
		r.loss = &loss{time.Now(), r.heard, cause}
	}
}

// flow notes that a subscription is live.
func (r *readyEvents) flow() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.loss != nil {
		r.gap(*r.loss)
		r.loss = nil
	}
}

// hear notes the arrival of an event.
func (r *readyEvents) hear() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.heard = time.Now()
}

func (r *readyEvents) probe(ctx context.Context, namespace string, seen <-chan struct{}) {
	ctx = namespaces.WithNamespace(ctx, namespace)
	for wait := time.Millisecond; ; wait = min(2*wait, 100*time.Millisecond) {
		_ = r.Publish(ctx, probeTopic, &emptypb.Empty{})
		select {
		case <-seen:
			return
		case <-ctx.Done():
			return
		case <-time.After(wait):
		}
	}
}

func (r *readyEvents) wait(ctx context.Context) error {
	_, err := receive(ctx, r.ready)
	return err
}
