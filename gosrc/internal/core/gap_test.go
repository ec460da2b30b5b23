package core

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/containerd/containerd/api/services/tasks/v1"
	"github.com/containerd/containerd/api/types/task"
	containerd "github.com/containerd/containerd/v2/client"
	libcontainerdtypes "github.com/docker/docker/libcontainerd/types"
	"github.com/moby/locker"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/timestamppb"
)

func processOf(id string, status task.Status, exitedAt time.Time) *task.Process {
	return &task.Process{ID: id, Pid: 7, Status: status, ExitedAt: timestamppb.New(exitedAt)}
}

func TestTheCensusKnowsWhatRuns(t *testing.T) {
	c, now := newCensus(), time.Now()
	c.see(Event{Type: "start", ContainerID: "a", ProcessID: "a", Pid: 1})
	c.see(Event{Type: "exec-started", ContainerID: "a", ProcessID: "e", Pid: 2})
	c.see(Event{Type: "exit", ContainerID: "a", ProcessID: "a"})
	c.see(Event{Type: "exit", ContainerID: "gone", ProcessID: "gone"}) // before the list that still has it
	c.count([]*task.Process{
		processOf("a", task.Status_RUNNING, time.Time{}),
		processOf("gone", task.Status_RUNNING, time.Time{}),
		processOf("paused", task.Status_PAUSED, time.Time{}),
		processOf("stopped", task.Status_STOPPED, now),
	}, time.Time{})
	all := c.all()
	if len(all) != 2 || all[processKey{"a", "e"}].pid != 2 || all[processKey{"paused", "paused"}].pid != 7 {
		t.Fatalf("running: %v", all)
	}
}

func TestTheCensusFindsWhatCameAndWentInAGap(t *testing.T) {
	c, since := newCensus(), time.Now()
	c.see(Event{Type: "start", ContainerID: "known", ProcessID: "known", Pid: 1})
	ended := c.count([]*task.Process{
		processOf("known", task.Status_STOPPED, since.Add(time.Second)), // asked for by itself
		processOf("before", task.Status_STOPPED, since.Add(-time.Second)),
		processOf("new", task.Status_STOPPED, since.Add(time.Second)),
	}, since)
	if len(ended) != 1 || ended[0].ID != "new" {
		t.Fatalf("ended: %v", ended)
	}
}

func TestAnExitThatWasToldWithoutAnEventKeepsItsCode(t *testing.T) {
	cl, at := &Client{census: newCensus()}, time.Now()
	key := processKey{"a", "a"}
	status := containerd.NewExitStatus(5, at, nil)
	cl.census.exited(key, status) // of what is not known to run: nothing is kept
	cl.census.see(Event{Type: "start", ContainerID: "a", ProcessID: "a", Pid: 1})
	cl.census.exited(key, status)
	known := cl.census.all()
	exit, ended := cl.end(t.Context(), key, known[key])
	if len(known) != 1 || !ended || exit.ExitCode != 5 || exit.Pid != 1 || !exit.ExitedAt.Equal(at) || exit.Origin != Recovered {
		t.Fatalf("%v, %v", known, exit)
	}
}

func TestWhatTheClientStartsRunsThoughNoEventSaysSo(t *testing.T) {
	a := func(kind string, pid uint32) Event {
		return Event{Type: kind, ContainerID: "a", ProcessID: "a", Pid: pid}
	}
	key, c := processKey{"a", "a"}, newCensus()
	c.begin(key)(0)
	if len(c.all()) != 0 {
		t.Fatal("it runs, though its start has failed")
	}
	c.begin(key)(1)
	status := containerd.NewExitStatus(5, time.Now(), nil)
	c.exited(key, status)
	c.see(a("start", 1))
	if one := c.all()[key]; one.pid != 1 || one.status != status {
		t.Fatal("it does not run, or its event has made its status forgotten:", one)
	}
	c.see(a("exit", 1))
	first, second := c.begin(key), c.begin(key)
	c.see(a("start", 2))
	c.see(a("exit", 2))
	second(0)
	first(2)
	if len(c.all()) != 0 || len(c.starts) != 0 {
		t.Fatal("it runs, though its exit came before the start had returned")
	}
}

func TestAnExitIsToldOnce(t *testing.T) {
	a := func(kind string, pid uint32, err error) Event {
		return Event{Type: kind, ContainerID: "a", ProcessID: "a", Pid: pid, Error: err}
	}
	c := newCensus()
	c.see(a("start", 1, nil))
	c.open()
	c.ask()
	if !c.claim(a("exit", 1, nil)) {
		t.Fatal("what no event has told is no news")
	}
	c.shut()
	if len(c.all()) != 0 || c.see(a("exit", 1, nil)) != Repeated || c.see(a("exit", 1, nil)) != News {
		t.Fatal("its event is not told as repeated, once")
	}

	c.see(a("start", 2, nil))
	c.open()
	c.ask()
	if c.see(a("exit", 2, nil)) != News || c.claim(a("exit", 2, nil)) {
		t.Fatal("its event came while it was asked for")
	}
	c.shut()

	c.see(a("start", 3, nil))
	c.open()
	c.ask()
	c.claim(a("exit", 3, nil))
	c.shut()
	c.see(a("start", 4, nil))
	if c.see(a("exit", 4, nil)) != News {
		t.Fatal("another process of that id")
	}

	c.begin(processKey{"a", "a"})(4)
	c.open()
	c.ask()
	c.claim(a("exit", 4, nil))
	c.shut()
	c.see(a("start", 4, nil)) // both late, behind a handler
	if c.see(a("exit", 4, nil)) != Repeated || len(c.all()) != 0 {
		t.Fatal("it runs, though its exit was told")
	}

	c.open()
	c.ask()
	if !c.claim(a("exit", 5, errors.New("not found"))) || c.see(a("exit", 5, nil)) != News {
		t.Fatal("the event of what containerd had forgotten has its exit code")
	}
}

// clientOf is a client of a containerd that has tasks only, and its events.
func clientOf(t *testing.T, service tasks.TasksClient) (*Client, chan Event) {
	daemon, err := containerd.New("", containerd.WithServices(containerd.WithTaskClient(service)))
	if err != nil {
		t.Fatal(err)
	}
	events := make(chan Event, 8)
	cl := &Client{core: New(recorder{events: events}, 0), daemon: daemon, census: newCensus(), order: locker.New()}
	cl.ctx, cl.cancel = context.WithCancel(t.Context())
	t.Cleanup(cl.cancel)
	return cl, events
}

// ended is a containerd whose one task has ended.
type ended struct {
	tasks.TasksClient
	at time.Time
}

func (e ended) List(context.Context, *tasks.ListTasksRequest, ...grpc.CallOption) (*tasks.ListTasksResponse, error) {
	return &tasks.ListTasksResponse{Tasks: []*task.Process{processOf("a", task.Status_STOPPED, e.at)}}, nil
}

func TestAnExitWhoseEventComesBeforeContainerdIsAskedIsToldOnce(t *testing.T) {
	cl, events := clientOf(t, ended{at: time.Now().Add(time.Minute)})
	ready := newReadyEvents()
	ready.lost, ready.gap = cl.census.open, cl.tellGap

	_ = cl.census.count(nil, time.Time{})
	cl.census.see(Event{Type: "start", ContainerID: "a", ProcessID: "a", Pid: 7})
	ready.lose(errors.New("EOF"))
	ready.flow()
	gap := <-events
	go func() {
		_ = cl.ProcessEvent("a", libcontainerdtypes.EventExit, libcontainerdtypes.EventInfo{ContainerID: "a", ProcessID: "a", Pid: 7})
	}()
	exit := <-events
	cl.core.AckEvent(exit.Token, "")
	cl.core.AckEvent(gap.Token, "")
	go func() {
		cl.core.running.Wait()
		close(events)
	}()
	for again := range events {
		t.Errorf("told again: %v", again)
		cl.core.AckEvent(again.Token, "")
	}
	if gap.Type != EventGap || exit.Type != "exit" || exit.Origin != News {
		t.Fatalf("told: %v, %v", gap, exit)
	}
}

// tasksOf is a containerd whose tasks have ended, or run yet.
type tasksOf struct {
	tasks.TasksClient
	ended *sync.Map
}

func (t tasksOf) List(context.Context, *tasks.ListTasksRequest, ...grpc.CallOption) (*tasks.ListTasksResponse, error) {
	return &tasks.ListTasksResponse{}, nil
}

func (t tasksOf) Get(_ context.Context, request *tasks.GetRequest, _ ...grpc.CallOption) (*tasks.GetResponse, error) {
	status := task.Status_RUNNING
	if _, ended := t.ended.Load(request.ContainerID); ended {
		status = task.Status_STOPPED
	}
	return &tasks.GetResponse{Process: processOf(request.ContainerID, status, time.Now())}, nil
}

func TestASlowHandlerKeepsNoOtherContainersExitFromBeingTold(t *testing.T) {
	var ended sync.Map
	cl, events := clientOf(t, tasksOf{ended: &ended})
	ready := newReadyEvents()
	ready.lost, ready.gap = cl.census.open, cl.tellGap
	next := func(kind, id string) Event {
		t.Helper()
		select {
		case event := <-events:
			if event.Type != kind || event.ContainerID != id {
				t.Fatalf("%q of %q, and not %q of %q", event.Type, event.ContainerID, kind, id)
			}
			return event
		case <-time.After(20 * time.Second):
			t.Fatalf("no %q of %q", kind, id)
		}
		return Event{}
	}
	gap := func() {
		ready.lose(errors.New("EOF"))
		ready.flow()
		cl.core.AckEvent(next(EventGap, "").Token, "")
	}

	for _, id := range []string{"slow", "a", "b"} {
		cl.census.see(Event{Type: "start", ContainerID: id, ProcessID: id, Pid: 7})
	}
	go func() {
		_ = cl.ProcessEvent("slow", libcontainerdtypes.EventOOM, libcontainerdtypes.EventInfo{ContainerID: "slow"})
	}()
	slow := next("oom", "slow")
	ended.Store("slow", true)
	ended.Store("a", true)
	gap()
	cl.core.AckEvent(next("exit", "a").Token, "")
	ended.Store("b", true)
	gap()
	cl.core.AckEvent(next("exit", "b").Token, "")
	cl.core.AckEvent(slow.Token, "")
	cl.core.AckEvent(next("exit", "slow").Token, "")
	cl.core.running.Wait()
	select {
	case again := <-events:
		t.Fatalf("told again: %v", again)
	default:
	}
}

func TestWhoDoesNotListenIsToldOfNoGap(t *testing.T) {
	cl, events := clientOf(t, tasksOf{ended: &sync.Map{}})
	cl.deaf.Store(true)
	cl.census.open()
	cl.tellGap(loss{cause: errors.New("EOF")})
	cl.core.running.Wait()
	if len(events) != 0 {
		t.Fatalf("told: %v", <-events)
	}
}
