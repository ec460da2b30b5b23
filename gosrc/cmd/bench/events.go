package main

import (
	"context"
	"fmt"
	"net"
	"strconv"
	"strings"
	"sync"
	"time"

	apievents "github.com/containerd/containerd/api/events"
	eventsapi "github.com/containerd/containerd/api/services/events/v1"
	namespacesapi "github.com/containerd/containerd/api/services/namespaces/v1"
	versionapi "github.com/containerd/containerd/api/services/version/v1"
	"github.com/containerd/containerd/api/types"
	"github.com/containerd/containerd/v2/pkg/namespaces"
	"github.com/containerd/typeurl/v2"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/emptypb"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// settle is how long a Go client's subscription is given, of which nothing tells when it is live.
const settle = 200 * time.Millisecond

// eventsNamespace is the namespace in which bench events has so many to send.
func eventsNamespace(count int) string { return fmt.Sprintf("flood-%d", count) }

// eventsService is as much of containerd as a client needs to have events. A call of Version in the namespace flood-N
// lets N of them flow to each subscriber of that namespace, as fast as these take them. What is published is sent to
// whoever subscribes to its namespace, so that pyctd's look whether events flow is answered.
type eventsService struct {
	eventsapi.UnimplementedEventsServer
	namespacesapi.UnimplementedNamespacesServer
	versionapi.UnimplementedVersionServer
	containers []string

	mu   sync.Mutex
	subs map[*subscriber]struct{}
}

type subscriber struct {
	filters []string
	floods  chan int
	news    chan *types.Envelope
}

func (s *subscriber) takes(namespace string) bool {
	for _, filter := range s.filters {
		if strings.HasPrefix(filter+",", "namespace=="+namespace+",") {
			return true
		}
	}
	return false
}

func serveEvents(socket string, containers int) error {
	listener, err := net.Listen("unix", socket)
	if err != nil {
		return err
	}
	s := &eventsService{subs: map[*subscriber]struct{}{}}
	for i := range containers {
		s.containers = append(s.containers, fmt.Sprintf("%064d", i)) // as long as dockerd's ids
	}
	server := grpc.NewServer()
	eventsapi.RegisterEventsServer(server, s)
	namespacesapi.RegisterNamespacesServer(server, s)
	versionapi.RegisterVersionServer(server, s)
	return server.Serve(listener)
}

func (s *eventsService) toAll(namespace string, send func(*subscriber)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for sub := range s.subs {
		if sub.takes(namespace) {
			send(sub)
		}
	}
}

// Version lets events flow.
func (s *eventsService) Version(ctx context.Context, _ *emptypb.Empty) (*versionapi.VersionResponse, error) {
	if namespace, ok := namespaces.Namespace(ctx); ok {
		if count, err := strconv.Atoi(strings.TrimPrefix(namespace, "flood-")); err == nil {
			s.toAll(namespace, func(sub *subscriber) { sub.floods <- count })
		}
	}
	return &versionapi.VersionResponse{Version: "bench"}, nil
}

// Get answers the client's question for its namespace's labels.
func (s *eventsService) Get(_ context.Context, r *namespacesapi.GetNamespaceRequest) (*namespacesapi.GetNamespaceResponse, error) {
	return &namespacesapi.GetNamespaceResponse{Namespace: &namespacesapi.Namespace{Name: r.Name}}, nil
}

// Publish sends an event on.
func (s *eventsService) Publish(ctx context.Context, r *eventsapi.PublishRequest) (*emptypb.Empty, error) {
	namespace, _ := namespaces.Namespace(ctx)
	envelope := &types.Envelope{Timestamp: timestamppb.Now(), Namespace: namespace, Topic: r.Topic, Event: r.Event}
	s.toAll(namespace, func(sub *subscriber) { sub.news <- envelope })
	return &emptypb.Empty{}, nil
}

// Subscribe sends them.
func (s *eventsService) Subscribe(r *eventsapi.SubscribeRequest, stream eventsapi.Events_SubscribeServer) error {
	sub := &subscriber{r.Filters, make(chan int, 16), make(chan *types.Envelope, 1024)}
	s.mu.Lock()
	s.subs[sub] = struct{}{}
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		delete(s.subs, sub)
		s.mu.Unlock()
	}()
	for {
		select {
		case envelope := <-sub.news:
			if err := stream.Send(envelope); err != nil {
				return err
			}
		case count := <-sub.floods:
			if err := s.flood(stream, count); err != nil {
				return err
			}
		case <-stream.Context().Done():
			return nil
		}
	}
}

// flood sends a start and an exit of each container in turn.
func (s *eventsService) flood(stream eventsapi.Events_SubscribeServer, count int) error {
	kinds := []func(id string) (string, any){
		func(id string) (string, any) {
			return "/tasks/start", &apievents.TaskStart{ContainerID: id, Pid: 4711}
		},
		func(id string) (string, any) {
			return "/tasks/exit", &apievents.TaskExit{ContainerID: id, ID: id, Pid: 4711, ExitedAt: timestamppb.Now()}
		},
	}
	envelopes := make([]*types.Envelope, 0, len(kinds)*len(s.containers))
	for _, kind := range kinds {
		for _, id := range s.containers {
			topic, event := kind(id)
			wire, err := typeurl.MarshalAny(event)
			if err != nil {
				return err
			}
			envelopes = append(envelopes, &types.Envelope{
				Timestamp: timestamppb.Now(), Namespace: eventsNamespace(count), Topic: topic,
				Event: &anypb.Any{TypeUrl: wire.GetTypeUrl(), Value: wire.GetValue()},
			})
		}
	}
	for i := range count {
		if err := stream.Send(envelopes[i%len(envelopes)]); err != nil {
			return err
		}
	}
	return nil
}
