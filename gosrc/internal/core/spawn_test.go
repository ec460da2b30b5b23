package core

import (
	"context"
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/containerd/containerd/v2/core/events"
	"github.com/containerd/containerd/v2/pkg/cio"
)

// goroutines finds where the sources below a directory start goroutines, by file and function.
func goroutines(t *testing.T, directory string) (found []string) {
	t.Helper()
	err := filepath.WalkDir(directory, func(path string, _ fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return err
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, 0)
		if err != nil {
			return err
		}
		for _, declaration := range file.Decls {
			function, ok := declaration.(*ast.FuncDecl)
			if !ok {
				continue
			}
			ast.Inspect(function, func(node ast.Node) bool {
				starts := false
				switch node := node.(type) {
				case *ast.GoStmt:
					starts = true
				case *ast.CallExpr: // of a WaitGroup or an errgroup
					selector, ok := node.Fun.(*ast.SelectorExpr)
					starts = ok && selector.Sel.Name == "Go"
				}
				if starts {
					found = append(found, filepath.Base(path)+" "+function.Name.Name)
				}
				return true
			})
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

func TestEveryGoroutineStartsWhereItsPanicIsRecovered(t *testing.T) {
	found := slices.DeleteFunc(goroutines(t, ".."), func(at string) bool { return strings.HasPrefix(at, "engine.go ") })
	if want := []string{"core.go spawn", "core.go spawnIn"}; !slices.Equal(found, want) {
		t.Fatalf("goroutines start in %v, and not only in %v", found, want)
	}
}

// panicking is the other side of the boundary, which panics when it gets the event or the record "boom", and in each call of
// an IO.
type panicking struct {
	recorder
	records chan string
}

func (p panicking) Event(event Event) EventAnswer {
	if event.ContainerID == "boom" {
		panic("boom")
	}
	return p.recorder.Event(event)
}

func (p panicking) IO(uint64, IOCall) { panic("boom") }

func (p panicking) Log(_ int32, text, _ string) {
	if text == "boom" {
		panic(text)
	}
	p.records <- text
}

func newPanicking() panicking {
	return panicking{recorder{events: make(chan Event, 8)}, make(chan string, 64)}
}

// says waits for a log record.
func (p panicking) says(t *testing.T, text string) {
	t.Helper()
	for within(t, p.records) != text {
	}
}

func TestAPanicWhileAnEventIsHandedOverIsItsHandlersError(t *testing.T) {
	p := newPanicking()
	c := New(p, 4)
	defer c.records.close()
	failed := make(chan error, 1)
	go func() { failed <- c.deliveries.deliver(Event{ContainerID: "boom"}, nil) }()
	if err := within(t, failed); err == nil || err.Error() != "panic in Go: boom" {
		t.Fatalf("got %v", err)
	}
	p.says(t, "recovered: boom")
	go func() { _ = c.deliveries.deliver(Event{ContainerID: "a"}, nil) }()
	c.AckEvent(within(t, p.events).Token, "")
}

func TestAPanicWhileARecordIsHandedOverLosesThatRecord(t *testing.T) {
	p := newPanicking()
	c := New(p, 4)
	defer c.records.close()
	c.records.put(record{text: "boom"})
	c.records.put(record{text: "next"})
	p.says(t, "next")
}

func TestAPanicInWorkOfAClientIsLogged(t *testing.T) {
	p := newPanicking()
	cl := &Client{core: New(p, 4)}
	cl.use(func() { panic("of its work") })
	finish(t, cl.core.running.Wait)
	finish(t, cl.used.Wait)
	p.says(t, "recovered: of its work")
}

func TestAPanicWhileAClientClosesDoesNotEndTheProcess(t *testing.T) {
	p := newPanicking()
	cl := &Client{core: New(p, 4)} // without a daemon to close
	cl.ctx, cl.cancel = context.WithCancel(t.Context())
	cl.close()
	p.says(t, "recovered: runtime error: invalid memory address or nil pointer dereference")
}

func TestAPanicWhileOneClientClosesLetsTheOthersCloseAtShutdown(t *testing.T) {
	core := New(newPanicking(), 0)
	var clients [2]*Client
	for i := range clients {
		cl := &Client{core: core}
		cl.ctx, cl.cancel = context.WithCancel(t.Context())
		cl.streams = map[*stdio]struct{}{{client: cl, dio: &cio.DirectIO{}}: {}}
		core.handles.Put(cl)
		clients[i] = cl
	}
	if !core.Shutdown(bound) || clients[0].ctx.Err() == nil || clients[1].ctx.Err() == nil {
		t.Fatal("not all are closed")
	}
}

func TestAPanicWhileEventsComeEndsTheSubscriptionWithAnError(t *testing.T) {
	ready := newReadyEvents()
	ready.gap = func(loss) { panic("boom") }
	daemon := streams{next: make(chan stream, 1)}
	one := newStream()
	daemon.next <- one
	ready.EventService = daemon
	ready.lose(errors.New("EOF"))
	_, failed := ready.Subscribe(t.Context())
	deliver(t, one.envelopes, &events.Envelope{})
	var panicked *PanicError
	if err := within(t, failed); !errors.As(err, &panicked) {
		t.Fatalf("got %v", err)
	}
}

// crumbling is a stdin whose close panics.
type crumbling struct{ stuck }

func (crumbling) Close() error { panic("boom") }

func TestAPanicWhileAStreamClosesIsTheOperationsError(t *testing.T) {
	core := New(recorder{}, 0)
	cl := &Client{core: core}
	cl.ctx, cl.cancel = context.WithCancel(t.Context())
	defer cl.cancel()
	dio := &cio.DirectIO{}
	dio.Stdin = crumbling{}
	ctx, cancel := context.WithTimeout(t.Context(), bound)
	defer cancel()
	var panicked *PanicError
	if _, err := core.CloseStream(ctx, core.handles.Put(&stdio{client: cl, dio: dio}), Stdin); !errors.As(err, &panicked) {
		t.Fatalf("got %v", err)
	}
}
