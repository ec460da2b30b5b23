package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	libcontainerdtypes "github.com/docker/docker/libcontainerd/types"

	"github.com/pyctd/pyctd/gosrc/internal/direct"
)

// stepLimit ends a run that hangs.
const stepLimit = 100 * time.Second

// proc is a process of a scenario, with its streams.
type proc struct {
	libcontainerdtypes.Process
	streams *streams
	exit    *exit
}

// runner runs one scenario.
type runner struct {
	place    place
	scenario scenario
	out      printer
	events   *events
	*direct.Connection

	mu         sync.Mutex
	containers map[string]libcontainerdtypes.Container
	processes  map[string]*proc
	attached   map[string]*streams // by the process's name, the processes that were not made too
	background map[string]chan object
	own        *ownDaemon
}

func newRunner(p place, s scenario, out printer) *runner {
	r := &runner{
		place: p, scenario: s, out: out, events: newEvents(),
		containers: map[string]libcontainerdtypes.Container{}, processes: map[string]*proc{},
		attached: map[string]*streams{}, background: map[string]chan object{},
	}
	if s.Daemon == "own" {
		r.own = &ownDaemon{dir: p.Dir}
		r.place.Address = r.own.address()
	}
	return r
}

// errScenario is a mistake of the scenario.
var errScenario = errors.New("mistake of the scenario")

func mistake(format string, args ...any) error {
	return fmt.Errorf("%w: "+format, append([]any{errScenario}, args...)...)
}

func (r *runner) run(ctx context.Context) error {
	if err := os.MkdirAll(r.place.state(), 0o711); err != nil {
		return err
	}
	if r.own != nil {
		if err := r.own.start(); err != nil {
			return err
		}
		defer func() { _ = r.own.signal(syscall.SIGKILL) }()
	}
	if err := r.open(ctx); err != nil {
		return err
	}
	defer func() { r.Close() }()
	_ = r.out.Encode(object{"scenario": r.scenario.Name, "values": r.place.values()})
	for number, raw := range r.scenario.Steps {
		s, err := parse(raw, r.place.values())
		if err != nil {
			return err
		}
		limit := time.AfterFunc(stepLimit, func() {
			_ = r.out.Encode(object{"step": number, "do": s.do, "hangs": true})
			os.Exit(3)
		})
		line := r.perform(ctx, s)
		limit.Stop()
		line["step"] = number
		line["after"] = r.place.brief(r.own)
		if err := r.out.Encode(line); err != nil {
			return err
		}
	}
	_ = r.out.Encode(r.end())
	if r.own != nil {
		if err := daemonDo(r.own, "daemon_heal"); err != nil {
			return err
		}
	}
	return r.place.clear()
}

// open makes the client and waits until its events flow.
func (r *runner) open(ctx context.Context) (err error) {
	r.Connection, err = direct.Connect(ctx, r.place.Address, r.place.Namespace, r.place.state(), r.events)
	if err != nil {
		return err
	}
	return r.events.ready(r.place.publish)
}

// end is what is left.
func (r *runner) end() object {
	r.events.settle()
	events, calls := object{}, object{}
	for _, id := range r.events.containers() {
		events[id] = r.events.print(id, r.scenario.Order == "process")
	}
	for name, streams := range r.attached {
		calls[name] = streams.printCalls()
	}
	return object{"end": r.place.full(), "events": events, "io_calls": calls}
}

// perform runs a step, on the side where it says so.
func (r *runner) perform(ctx context.Context, s step) object {
	line := object{"do": s.do}
	if s.args.Background != "" {
		done := make(chan object, 1)
		r.background[s.args.Background] = done
		go func() { done <- r.outcome(ctx, s) }()
		line["background"] = s.args.Background
		return line
	}
	maps.Copy(line, r.outcome(ctx, s))
	return line
}

// outcome is what a step came to: a result, or an error's kind and text.
func (r *runner) outcome(ctx context.Context, s step) object {
	result, err := r.protected(ctx, s)
	if err != nil {
		return object{"error": object{"kind": r.kind(err), "text": err.Error()}}
	}
	return object{"result": result}
}

func (r *runner) kind(err error) string {
	if errors.Is(err, errScenario) {
		return "scenario"
	}
	return kindOf(err)
}

func (r *runner) protected(ctx context.Context, s step) (result any, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = panicked{p}
		}
	}()
	if s.args.Timeout != nil {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, time.Duration(*s.args.Timeout*float64(time.Second)))
		defer cancel()
	}
	if s.args.CancelAfter != nil {
		var cancel context.CancelFunc
		ctx, cancel = context.WithCancel(ctx)
		defer cancel()
		time.AfterFunc(time.Duration(*s.args.CancelAfter*float64(time.Second)), cancel)
	}
	do, ok := steps[s.do]
	if !ok {
		known := slices.Sorted(maps.Keys(steps))
		return nil, mistake("there is no step %q: there are %s", s.do, strings.Join(known, ", "))
	}
	return do(r, ctx, s.args)
}

// parallel runs its steps many times at once; each $i is the time's number.
func (r *runner) parallel(ctx context.Context, a arguments) (any, error) {
	results := make([][]object, max(a.Times, 1))
	var group sync.WaitGroup
	for i := range results {
		group.Go(func() {
			for _, raw := range a.Steps {
				values := r.place.values()
				s, err := parse(json.RawMessage(strings.ReplaceAll(string(raw), "$i", fmt.Sprint(i))), values)
				if err != nil {
					results[i] = append(results[i], object{"error": err.Error()})
					return
				}
				results[i] = append(results[i], r.outcome(ctx, s))
			}
		})
	}
	group.Wait()
	return results, nil
}
