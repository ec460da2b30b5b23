package core

import (
	"errors"
	"maps"
	"testing"
	"time"

	"github.com/containerd/containerd/api/types/task"
	containerd "github.com/containerd/containerd/v2/client"
)

// of is an event of the task "a".
func of(kind string, pid uint32) Event {
	return Event{Type: kind, ContainerID: "a", ProcessID: "a", Pid: pid}
}

var errForgotten = errors.New("not found")

func (c *census) claims(exit Event) bool { return c.claim(&exit) }

func TestTheCensusKnowsWhatRuns(t *testing.T) {
	c, now := newCensus(), time.Now()
	c.see(of("start", 1))
	c.see(Event{Type: "exec-started", ContainerID: "a", ProcessID: "e", Pid: 2})
	c.see(of("exit", 1))
	c.see(Event{Type: "exit", ContainerID: "gone", ProcessID: "gone", Pid: 7}) // before the list that still has it
	c.count([]*task.Process{
		processOf("a", task.Status_STOPPED, now),
		processOf("gone", task.Status_RUNNING, time.Time{}),
		processOf("paused", task.Status_PAUSED, time.Time{}),
		processOf("stopped", task.Status_STOPPED, now),
		{ID: "silent", Status: task.Status_UNKNOWN},
	}, time.Time{})
	if all := c.all(); !maps.Equal(all, map[processKey]*containerd.ExitStatus{{"a", "e", 2}: nil, {"paused", "paused", 7}: nil}) {
		t.Fatalf("running: %v", all)
	}
}

func TestTheCensusFindsWhatCameAndWentInAGap(t *testing.T) {
	c, since := newCensus(), time.Now()
	c.see(Event{Type: "start", ContainerID: "known", ProcessID: "known", Pid: 7})
	c.count([]*task.Process{
		processOf("known", task.Status_STOPPED, since.Add(-time.Second)), // its event was lost nonetheless
		processOf("before", task.Status_STOPPED, since.Add(-time.Second)),
		processOf("new", task.Status_STOPPED, since.Add(time.Second)),
	}, since)
	all := c.all()
	if len(all) != 2 || all[processKey{"known", "known", 7}] == nil || all[processKey{"new", "new", 7}] == nil {
		t.Fatalf("ended: %v", all)
	}
}

func TestALateStatusLeavesTheSuccessorRunning(t *testing.T) {
	c, status := newCensus(), containerd.NewExitStatus(5, time.Now(), nil)
	c.see(of("start", 1))
	c.begin(processName{"a", "a"})(2)
	c.exited(processKey{"a", "a", 1}, status)
	if all := c.all(); len(all) != 2 || all[processKey{"a", "a", 1}] != status || all[processKey{"a", "a", 2}] != nil {
		t.Fatalf("running: %v", all)
	}
	c.see(of("exit", 1))
	if all := c.all(); !maps.Equal(all, map[processKey]*containerd.ExitStatus{{"a", "a", 2}: nil}) {
		t.Fatalf("running: %v", all)
	}
}

func TestWhatTheClientStartsRunsThoughNoEventSaysSo(t *testing.T) {
	name, c := processName{"a", "a"}, newCensus()
	c.begin(name)(0)
	if len(c.all()) != 0 {
		t.Fatal("it runs, though its start has failed")
	}
	if c.begin(name)(1) {
		t.Fatal("its events were lost, though there was no gap")
	}
	status := containerd.NewExitStatus(5, time.Now(), nil)
	c.exited(processKey{"a", "a", 1}, status)
	c.see(of("start", 1))
	if c.all()[processKey{"a", "a", 1}] != status {
		t.Fatal("it does not run, or its event has made the census forget its status")
	}
	c.see(of("exit", 1))
	first, second := c.begin(name), c.begin(name)
	c.see(of("start", 2))
	c.see(of("exit", 2))
	second(0)
	first(2)
	if len(c.all()) != 0 || len(c.starts) != 0 {
		t.Fatal("it runs, though its exit came before the start had returned")
	}
}

func TestAnExitIsToldOnce(t *testing.T) {
	c := newCensus()
	c.see(of("start", 1))
	if !c.claims(of("exit", 1)) || c.claims(of("exit", 1)) {
		t.Fatal("what no event has told is news, once")
	}
	if len(c.all()) != 0 || c.see(of("exit", 1)) != Repeated || c.see(of("exit", 1)) != News {
		t.Fatal("its event is not told as repeated, once")
	}

	c.see(of("start", 2))
	if c.see(of("exit", 2)) != News || c.claims(of("exit", 2)) {
		t.Fatal("its event came while it was asked for")
	}

	c.see(of("start", 3))
	c.claims(of("exit", 3))
	c.see(of("start", 4))
	if c.see(of("exit", 4)) != News {
		t.Fatal("another process of that id")
	}

	c.begin(processName{"a", "a"})(4)
	c.claims(of("exit", 4))
	if c.see(of("start", 4)) != Repeated || len(c.all()) != 0 { // late, behind a handler
		t.Fatal("it runs, though its exit was told")
	}
	c.open()
	c.count(nil, time.Time{})
	if c.see(of("exit", 4)) != Repeated {
		t.Fatal("the event of an exit that an earlier gap has told is news after the next one")
	}

	c.see(of("start", 5))
	forgotten := of("exit", 5)
	forgotten.Error = errForgotten
	if !c.claim(&forgotten) || c.see(of("start", 5)) != Repeated || len(c.all()) != 0 {
		t.Fatal("it runs, though it was told to have ended")
	}
	if c.see(of("exit", 5)) != News {
		t.Fatal("the event of what containerd had forgotten has its exit code")
	}
}

func TestAnExitThatContainerdForgotHasTheCodeThatDeleteTold(t *testing.T) {
	c, at := newCensus(), time.Now()
	c.see(of("start", 1))
	exit := of("exit", 1)
	exit.ExitCode, exit.Error = containerd.UnknownExitStatus, errForgotten
	c.exited(processKey{"a", "a", 1}, containerd.NewExitStatus(5, at, nil)) // after containerd was asked
	if !c.claim(&exit) || exit.ExitCode != 5 || exit.Error != nil || !exit.ExitedAt.Equal(at) {
		t.Fatalf("%v", exit)
	}
}

func TestTheCensusForgetsWhatNoEventWillRepeat(t *testing.T) {
	c := newCensus()
	c.see(of("start", 1))
	c.claims(of("exit", 1))
	c.told[processKey{"a", "a", 1}] = toldExit{at: time.Now().Add(-2 * lateness)}
	c.open()
	if len(c.told) != 0 {
		t.Fatalf("kept: %v", c.told)
	}
}
