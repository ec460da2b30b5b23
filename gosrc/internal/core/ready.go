package core

import (
	"context"
	"sync"
	"time"

	apievents "github.com/containerd/containerd/api/events"
	containerd "github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/core/events"
	"github.com/containerd/containerd/v2/pkg/namespaces"
	"github.com/google/uuid"
)

// readyEvents tells when a subscription is live. libcontainerd subscribes in the background and gRPC does not say when
// the daemon has done it, so events of the first moments could be lost unnoticed. Each subscription therefore also
// takes a namespace of our own, in which we publish until the first envelope comes back; those never reach
// libcontainerd, nor anybody else's filter.
type readyEvents struct {
	containerd.EventService // set once the connection exists
	once                    sync.Once
	ready                   chan struct{}
	left                    leftovers
}

const probeTopic = "/pyctd/ready"

func newReadyEvents() *readyEvents { return &readyEvents{ready: make(chan struct{})} }

func (r *readyEvents) Subscribe(ctx context.Context, filters ...string) (<-chan *events.Envelope, <-chan error) {
	namespace := "pyctd-" + uuid.NewString()
	envelopes, errs := r.EventService.Subscribe(ctx, append(filters, "namespace=="+namespace)...)
	out := make(chan *events.Envelope)
	seen := make(chan struct{})
	go r.probe(ctx, namespace, seen)
	go func() {
		first := true
		for {
			select {
			case <-ctx.Done():
				return
			case envelope := <-envelopes:
				if envelope == nil {
					return
				}
				if envelope.Namespace == namespace {
					if first {
						first = false
						close(seen)
						r.once.Do(func() { close(r.ready) })
					}
					continue
				}
				r.left.see(envelope)
				select {
				case out <- envelope:
				case <-ctx.Done():
					return
				}
			}
		}
	}()
	return out, errs
}

func (r *readyEvents) probe(ctx context.Context, namespace string, seen <-chan struct{}) {
	ctx = namespaces.WithNamespace(ctx, namespace)
	for wait := time.Millisecond; ; wait = min(2*wait, 100*time.Millisecond) {
		_ = r.Publish(ctx, probeTopic, &apievents.TaskOOM{ContainerID: namespace})
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
	select {
	case <-r.ready:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
