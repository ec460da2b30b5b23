package core

import (
	"cmp"
	"context"
	"errors"
	"maps"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/containerd/containerd/api/services/tasks/v1"
	"github.com/containerd/containerd/api/types/task"
	containerd "github.com/containerd/containerd/v2/client"
	cerrdefs "github.com/containerd/errdefs"
	libcontainerdtypes "github.com/docker/docker/libcontainerd/types"
	"github.com/moby/locker"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/timestamppb"
)

func processOf(id string, status task.Status, exitedAt time.Time) *task.Process {
	return &task.Process{ID: id, Pid: 7, Status: status, ExitedAt: timestamppb.New(exitedAt)}
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

// fakeDaemon is a containerd that answers for tasks only.
type fakeDaemon struct {
	tasks.TasksClient
	mu    sync.Mutex
	tasks map[string]*task.Process
	fails error       // what List answers
	asked chan string // the tasks and execs that Get was asked for
}

func newFakeDaemon(tasks ...*task.Process) *fakeDaemon {
	d := &fakeDaemon{tasks: map[string]*task.Process{}, asked: make(chan string, 64)}
	for _, one := range tasks {
		d.put(one)
	}
	return d
}

func (d *fakeDaemon) put(one *task.Process) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.tasks[one.ID] = one
}

func (d *fakeDaemon) List(context.Context, *tasks.ListTasksRequest, ...grpc.CallOption) (*tasks.ListTasksResponse, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.fails != nil {
		return nil, d.fails
	}
	return &tasks.ListTasksResponse{Tasks: slices.Collect(maps.Values(d.tasks))}, nil
}

func (d *fakeDaemon) Get(_ context.Context, request *tasks.GetRequest, _ ...grpc.CallOption) (*tasks.GetResponse, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	name := cmp.Or(request.ExecID, request.ContainerID)
	d.asked <- name
	if one := d.tasks[name]; one != nil {
		return &tasks.GetResponse{Process: one}, nil
	}
	return nil, status.Error(codes.NotFound, "no such task")
}

// loseEvents lets a gap in a client's events come and go. It returns its event, which is still to be acknowledged.
func loseEvents(t *testing.T, cl *Client, events chan Event) Event {
	t.Helper()
	ready := newReadyEvents()
	ready.gap = cl.tellGap
	ready.lose(errors.New("EOF"))
	ready.flow()
	gap := within(t, events)
	if gap.Type != EventGap {
		t.Fatalf("%v is no gap", gap)
	}
	return gap
}

// settle waits until a client has told of its gaps, and fails if an event is left.
func settle(t *testing.T, cl *Client, events chan Event) {
	t.Helper()
	finish(t, cl.core.running.Wait)
	if len(events) != 0 {
		t.Fatalf("told: %v", <-events)
	}
}

func TestAnExitInAGapIsToldThoughASuccessorStartsBeforeTheGapIsAcknowledged(t *testing.T) {
	d := newFakeDaemon(processOf("a", task.Status_RUNNING, time.Time{}))
	cl, events := clientOf(t, d)
	cl.list(t.Context(), time.Time{})
	d.put(&task.Process{ID: "a", Pid: 7, Status: task.Status_STOPPED, ExitStatus: 5, ExitedAt: timestamppb.Now()})
	gap := loseEvents(t, cl, events)
	until(t, func() bool { return cl.census.all()[processKey{"a", "a", 7}] != nil }) // containerd was asked
	d.put(&task.Process{ID: "a", Pid: 8, Status: task.Status_RUNNING})
	cl.starting(processName{"a", "a"})(8)
	cl.core.AckEvent(gap.Token, "")
	exit := within(t, events)
	if exit.Pid != 7 || exit.ExitCode != 5 || exit.Error != nil || exit.Origin != Recovered {
		t.Fatalf("told: %v", exit)
	}
	cl.core.AckEvent(exit.Token, "")
	settle(t, cl, events)
	if all := cl.census.all(); len(all) != 1 {
		t.Fatalf("running: %v", all)
	}
}

func TestAProcessWhoseIdsASuccessorHasIsToldToHaveEnded(t *testing.T) {
	cl, events := clientOf(t, newFakeDaemon(&task.Process{ID: "a", Pid: 8, Status: task.Status_RUNNING}))
	cl.census.see(of("start", 7))
	cl.core.AckEvent(loseEvents(t, cl, events).Token, "")
	exit := within(t, events)
	if exit.Pid != 7 || exit.ExitCode != containerd.UnknownExitStatus || !cerrdefs.IsNotFound(exit.Error) {
		t.Fatalf("told: %v", exit)
	}
	cl.core.AckEvent(exit.Token, "")
	settle(t, cl, events)
}

func TestTheExitsOfAContainerAreToldInTheirOrder(t *testing.T) {
	cl, events := clientOf(t, newFakeDaemon())
	at := time.Now()
	for pid := uint32(1); pid <= 5; pid++ {
		cl.census.see(of("start", pid))
		cl.census.exited(processKey{"a", "a", pid}, containerd.NewExitStatus(pid, at.Add(-time.Duration(pid)), nil))
	}
	cl.core.AckEvent(loseEvents(t, cl, events).Token, "")
	for pid := uint32(5); pid >= 1; pid-- {
		exit := within(t, events)
		if exit.Pid != pid {
			t.Fatalf("%v, and not of %d", exit, pid)
		}
		cl.core.AckEvent(exit.Token, "")
	}
	settle(t, cl, events)
}

func TestAProcessThatStartsAcrossAGapIsAskedFor(t *testing.T) {
	d := newFakeDaemon()
	cl, events := clientOf(t, d)
	started := cl.starting(processName{"a", "a"})
	cl.core.AckEvent(loseEvents(t, cl, events).Token, "")
	settle(t, cl, events)
	d.put(processOf("a", task.Status_STOPPED, time.Now())) // and its events were lost
	started(7)
	exit := within(t, events)
	if exit.Pid != 7 || exit.Origin != Recovered {
		t.Fatalf("told: %v", exit)
	}
	cl.core.AckEvent(exit.Token, "")
	settle(t, cl, events)

	within(t, d.asked)
	cl.starting(processName{"a", "a"})(8)
	settle(t, cl, events)
	if len(d.asked) != 0 {
		t.Fatal("asked for, though there was no gap")
	}
}

func TestAnExecThatEndedInAGapIsAskedForByItsOwnId(t *testing.T) {
	d := newFakeDaemon(&task.Process{ID: "a", Pid: 1, Status: task.Status_RUNNING},
		&task.Process{ID: "e", Pid: 7, Status: task.Status_STOPPED, ExitStatus: 5, ExitedAt: timestamppb.Now()})
	cl, events := clientOf(t, d)
	cl.census.see(Event{Type: "exec-started", ContainerID: "a", ProcessID: "e", Pid: 7})
	cl.core.AckEvent(loseEvents(t, cl, events).Token, "")
	exit := within(t, events)
	if exit.ContainerID != "a" || exit.ProcessID != "e" || exit.ExitCode != 5 || exit.Error != nil {
		t.Fatalf("told: %v", exit)
	}
	cl.core.AckEvent(exit.Token, "")
	settle(t, cl, events)
}

func TestAListThatFailsKeepsNoExits(t *testing.T) {
	d := newFakeDaemon()
	d.fails = status.Error(codes.Unavailable, "away")
	cl, _ := clientOf(t, d)
	cl.list(t.Context(), time.Time{})
	for pid := range uint32(1000) {
		cl.census.see(of("exit", pid))
	}
	if len(cl.census.seen) != 0 {
		t.Fatalf("%d exits are kept", len(cl.census.seen))
	}
}

func TestAnExitWhoseEventComesBeforeContainerdIsAskedIsToldOnce(t *testing.T) {
	cl, events := clientOf(t, newFakeDaemon(processOf("a", task.Status_STOPPED, time.Now().Add(time.Minute))))
	cl.census.count(nil, time.Time{})
	cl.census.see(of("start", 7))
	gap := loseEvents(t, cl, events)
	go func() {
		_ = cl.ProcessEvent("a", libcontainerdtypes.EventExit, libcontainerdtypes.EventInfo{ContainerID: "a", ProcessID: "a", Pid: 7})
	}()
	exit := within(t, events)
	cl.core.AckEvent(exit.Token, "")
	cl.core.AckEvent(gap.Token, "")
	settle(t, cl, events)
	if exit.Type != "exit" || exit.Origin != News {
		t.Fatalf("told: %v", exit)
	}
}

func TestASlowHandlerKeepsNoOtherContainersExitFromBeingTold(t *testing.T) {
	d := newFakeDaemon()
	cl, events := clientOf(t, d)
	next := func(kind, id string) Event {
		t.Helper()
		event := within(t, events)
		if event.Type != kind || event.ContainerID != id {
			t.Fatalf("%q of %q, and not %q of %q", event.Type, event.ContainerID, kind, id)
		}
		return event
	}
	end := func(id string) { d.put(processOf(id, task.Status_STOPPED, time.Now())) }
	gap := func() { cl.core.AckEvent(loseEvents(t, cl, events).Token, "") }

	for _, id := range []string{"slow", "a", "b"} {
		d.put(processOf(id, task.Status_RUNNING, time.Time{}))
		cl.census.see(Event{Type: "start", ContainerID: id, ProcessID: id, Pid: 7})
	}
	go func() {
		_ = cl.ProcessEvent("slow", libcontainerdtypes.EventOOM, libcontainerdtypes.EventInfo{ContainerID: "slow"})
	}()
	slow := next("oom", "slow")
	end("slow")
	end("a")
	gap()
	cl.core.AckEvent(next("exit", "a").Token, "")
	end("b")
	gap()
	cl.core.AckEvent(next("exit", "b").Token, "")
	cl.core.AckEvent(slow.Token, "")
	cl.core.AckEvent(next("exit", "slow").Token, "")
	settle(t, cl, events)
}

func TestAStartThatWaitsBehindAHandlerIsNotNewsOnceItsExitWasTold(t *testing.T) {
	d := newFakeDaemon(processOf("a", task.Status_RUNNING, time.Time{}))
	cl, events := clientOf(t, d)
	told := func(kind string) Origin {
		t.Helper()
		event := within(t, events)
		if event.Type != kind {
			t.Fatalf("%q, and not %q", event.Type, kind)
		}
		cl.core.AckEvent(event.Token, "")
		return event.Origin
	}
	cl.starting(processName{"a", "a"})(7)
	d.put(processOf("a", task.Status_STOPPED, time.Now()))
	cl.core.AckEvent(loseEvents(t, cl, events).Token, "")
	if origin := told("exit"); origin != Recovered {
		t.Fatalf("origin %d", origin)
	}
	for _, kind := range []string{"start", "exit"} { // which came before the gap
		go func() {
			_ = cl.ProcessEvent("a", libcontainerdtypes.EventType(kind), libcontainerdtypes.EventInfo{ContainerID: "a", ProcessID: "a", Pid: 7})
		}()
		if origin := told(kind); origin != Repeated {
			t.Fatalf("%s: origin %d", kind, origin)
		}
	}
	settle(t, cl, events)
}

func TestAClosedClientDoesNotWaitForTheHandlerOfAnExitInAGap(t *testing.T) {
	b := blocking{entered: make(chan string), leave: make(chan struct{})}
	cl, _ := clientOf(t, newFakeDaemon())
	cl.core.deliveries.callbacks = b
	defer close(b.leave)
	cl.census.see(of("start", 7))
	cl.use(func() { cl.tellEnds(cl.findEnds()) })
	within(t, b.entered)
	cl.cancel()
	finish(t, cl.core.running.Wait)
	finish(t, cl.used.Wait)
}

func TestWhoDoesNotListenIsToldOfNoGap(t *testing.T) {
	cl, events := clientOf(t, newFakeDaemon())
	cl.deaf.Store(true)
	cl.tellGap(loss{cause: errors.New("EOF")})
	settle(t, cl, events)
}

func TestAnExitThatWasToldWithoutAnEventKeepsItsCode(t *testing.T) {
	cl, at := &Client{census: newCensus()}, time.Now()
	cl.ctx = t.Context()
	key := processKey{"a", "a", 1}
	status := containerd.NewExitStatus(5, at, nil)
	cl.census.exited(key, status) // of what is not known to run: nothing is kept
	cl.census.see(of("start", 1))
	cl.census.exited(key, status)
	exits := cl.findEnds()["a"]
	if len(exits) != 1 || exits[0].ExitCode != 5 || exits[0].Pid != 1 || !exits[0].ExitedAt.Equal(at) || exits[0].Origin != Recovered {
		t.Fatalf("%v", exits)
	}
}
